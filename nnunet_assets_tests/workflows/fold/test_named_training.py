"""Folds named in words: one, all, or that of a run; what a fold that fails costs the others."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.named_fold import NamedFold
from nnunet_assets.declarations.project import declared_if_any
from nnunet_assets.errors import ConfigError, DatasetError, FoldError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.fold import named_training as module
from nnunet_assets.workflows.fold.named_training import Training
from nnunet_assets.workflows.fold.train import AskedNow
from nnunet_assets_tests.cross_validation_builders import FOLDS, write_fold
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project
from nnunet_assets_tests.recorded_progress import RecordedProgress

IDENTITY = Experiment("Dataset004_Hippocampus", "2d")
NAMED = NamedFold("4", "2d", None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project with one experiment, of which three folds are finished already."""
    write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})
    settings = Settings.from_environment(tmp_path, {})
    for fold, cases in FOLDS.items():
        write_fold(IDENTITY.model_folder(settings.roots), fold, cases)
    return settings


def training(settings: Settings, progress: RecordedProgress, **asked: Any) -> Training:
    return Training(settings, declared_if_any(settings.project), AskedNow(**asked), None, progress)


def trains(monkeypatch: pytest.MonkeyPatch, ends: Callable[[str], object]) -> list[tuple[str, bool]]:
    """Has every fold end as this says, and returns what was trained, and whether anew."""
    seen: list[tuple[str, bool]] = []

    def train(_settings: Settings, request: Any, _destination: None, _progress: Any, *, retrain: bool, **_: Any) -> Any:
        seen.append((request.fold, retrain))
        return ends(request.fold)

    monkeypatch.setattr(module, "prepared_request", lambda _s, _p, config, fold, *_, **__: SimpleNamespace(fold=fold))
    monkeypatch.setattr(module, "train_from_there", train)
    return seen


def test_every_declared_fold_is_trained_in_order_and_they_are_summarized(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, progress = trains(monkeypatch, lambda fold: f"trained {fold}"), RecordedProgress()
    found = training(settings, progress, retrain=True).cross_validated(NAMED, None)
    assert seen == [(f"fold_{index}", True) for index in range(5)]
    assert list(found.folds.items()) == [(f"fold_{index}", f"trained fold_{index}") for index in range(5)]
    assert found.experiment == IDENTITY
    assert found.made.summary.completed_folds == ("fold_0", "fold_1", "fold_2")
    assert found.made.file.is_file()
    assert f"{IDENTITY.title}: fold_3, 4 of 5." in progress.said
    assert progress.said[-1] == f"{IDENTITY.title}: {found.made.summary.headline()}."


def test_of_all_folds_those_that_are_named_are_trained_and_the_others_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trains(monkeypatch, lambda fold: fold)
    found = training(settings, RecordedProgress()).cross_validated(NAMED, [2, 0])
    assert seen == [("fold_2", False), ("fold_0", False)]
    assert found.made.summary.missing_folds == ("fold_3", "fold_4")


def test_a_fold_that_fails_does_not_keep_the_others_from_it_and_is_told_with_its_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(fold: str) -> str:
        if fold in ("fold_1", "fold_3"):
            raise FoldError(f"{fold} ran out of memory.")
        return fold

    seen, progress = trains(monkeypatch, ends), RecordedProgress()
    with pytest.raises(FoldError) as caught:
        training(settings, progress).cross_validated(NAMED, None)
    assert [fold for fold, _ in seen] == [f"fold_{index}" for index in range(5)]
    sentence, *reasons = str(caught.value).splitlines()
    assert sentence.startswith(
        f"{IDENTITY.title}: fold_1, fold_3 did not finish. The others are summarized: 3 of 5 folds"
    )
    assert reasons == ["fold_1: fold_1 ran out of memory.", "fold_3: fold_3 ran out of memory."]
    assert progress.warned[0] == "fold_1 is not finished: fold_1 ran out of memory."


def test_where_all_fail_there_is_nothing_to_summarize(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(fold: str) -> str:
        raise FoldError(f"{fold} broke.")

    trains(monkeypatch, ends)
    with pytest.raises(FoldError, match=r"fold_0 did not finish\. Asked again"):
        training(settings, RecordedProgress()).cross_validated(NAMED, [0])


def test_what_befalls_every_fold_ends_it_at_the_first(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(fold: str) -> str:
        raise DatasetError("There are no images.")

    seen = trains(monkeypatch, ends)
    with pytest.raises(DatasetError):
        training(settings, RecordedProgress()).cross_validated(NAMED, None)
    assert len(seen) == 1


def test_an_experiment_that_is_not_declared_has_the_folds_of_the_split(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, progress = trains(monkeypatch, lambda fold: fold), RecordedProgress()
    monkeypatch.setattr(module, "n_folds_of", lambda *_: 3)
    monkeypatch.setattr(module, "make_summary", lambda *_, **__: SimpleNamespace(summary=SimpleNamespace(headline=str)))
    training(settings, progress).cross_validated(NamedFold("4", "3d_fullres", None), None)
    assert [fold for fold, _ in seen] == ["fold_0", "fold_1", "fold_2"]
    assert "is not declared" in progress.said[0]


def test_one_fold_is_trained_as_it_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = trains(monkeypatch, lambda fold: fold)
    assert training(settings, RecordedProgress()).named(NamedFold("4", "2d", "all")) == "fold_all"
    assert seen == [("fold_all", False)]
    with pytest.raises(ConfigError, match="DATASET, CONFIGURATION and FOLD are needed"):
        training(settings, RecordedProgress()).named(NAMED)


@pytest.mark.parametrize("despite", [True, False])
def test_the_fold_of_a_run_is_trained_as_the_run_says_or_not_where_something_decisive_changed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, despite: bool
) -> None:
    seen, progress = trains(monkeypatch, lambda fold: fold), RecordedProgress()

    def check(_changes: object, *, accepted: bool) -> None:
        if not accepted:
            raise FoldError("Other data.")

    rerun = SimpleNamespace(
        recalled=SimpleNamespace(fold="fold_4"),
        config=SimpleNamespace(identity=IDENTITY),
        asked=lambda now: now,
        changes=lambda *_: ["the data"],
        in_words=lambda changes: [f"Changed since: {changes[0]}."],
        check=check,
    )
    monkeypatch.setattr(module, "rerun_of", lambda *_: rerun)
    monkeypatch.setattr(module, "chosen_engine", lambda *_, **__: "local")
    if despite:
        again = training(settings, progress).again("run", NAMED, despite_changes=True)
        assert (again.trained, again.changes) == ("fold_4", ("the data",))
        assert seen == [("fold_4", False)]
    else:
        with pytest.raises(FoldError, match="Other data"):
            training(settings, progress).again("run", NAMED, despite_changes=False)
        assert seen == []
    assert progress.said == ["Changed since: the data."]
