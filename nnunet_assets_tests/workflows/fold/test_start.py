"""What is refused before anything is prepared, and what a training says that it will do with what is there already."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, commit_fold, read_committed
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError, DeviceError, FoldError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.fold import start as module
from nnunet_assets.workflows.fold.start import (
    prepared_request,
    refuse_missing_fold,
    starting_point,
    train_from_there,
)
from nnunet_assets.workflows.fold.train import AskedNow
from nnunet_assets_tests.cli.fold.test_opened_files import write_finished
from nnunet_assets_tests.prepared_builders import DATASET, EXPERIMENT, SPLITS, dataset_of, write_prepared
from nnunet_assets_tests.recorded_progress import RecordedProgress


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return write_prepared(tmp_path)[0]


@pytest.fixture
def request_now(roots: Roots) -> FoldRequest:
    """What `train` without flags asks for."""
    config = ExperimentConfig(dataset=DATASET, configuration=EXPERIMENT.configuration)
    inputs = fold_inputs(dataset_of(roots), EXPERIMENT, "fold_0", config.training_hash())
    return FoldRequest(EXPERIMENT, "fold_0", {}, "cpu", inputs, dagster_run_id=None)


def said(roots: Roots, request: FoldRequest, *, retrain: bool = False, continue_training: bool = False) -> str:
    fold = Fold.read(EXPERIMENT.place_of(roots, "fold_0"), check_files=True)
    return starting_point(fold, request, retrain=retrain, continue_training=continue_training)


def test_where_nothing_is_it_begins_and_says_to_who_wants_to_go_on_that_it_cannot(
    roots: Roots, request_now: FoldRequest
) -> None:
    assert said(roots, request_now) == "training from the beginning."
    assert said(roots, request_now, retrain=True) == "training from the beginning."
    going_on = said(roots, request_now, continue_training=True)
    assert going_on == "training from the beginning: there is nothing to go on with."


def test_a_finished_fold_is_kept_unless_it_is_to_be_trained_anew(roots: Roots, request_now: FoldRequest) -> None:
    write_finished(roots)
    assert said(roots, request_now).startswith("finished already; nothing is trained. --retrain")
    assert said(roots, request_now, retrain=True).startswith("training anew; the one that is there is kept")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (TrainingOptions(validation_only=True), "predicting and scoring the validation cases again."),
        (TrainingOptions(val_best=True), "finished already; nothing is trained, but its validation runs again."),
    ],
)
def test_a_finished_fold_is_validated_again_where_that_is_asked_for(
    roots: Roots, request_now: FoldRequest, options: TrainingOptions, sentence: str
) -> None:
    write_finished(roots)
    assert said(roots, replace(request_now, options=options)) == sentence


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_training_with_other_settings_is_put_aside_by_word_alone(
    roots: Roots, request_now: FoldRequest, is_finished: bool
) -> None:
    folder = write_finished(roots)
    if not is_finished:
        (folder / ".nnunet_assets" / "COMMIT").unlink()
        assert said(roots, request_now).startswith("trained before; only its validation runs")
    other = replace(request_now, overrides={"num_epochs": 5}, inputs=replace(request_now.inputs, training_hash="other"))
    with pytest.raises(FoldError, match=r"fold_0 holds a training with other training settings.*It is kept as it is"):
        said(roots, other)
    assert said(roots, other, retrain=True).startswith("training anew")


def test_what_was_changed_outside_is_refused_before_anything_is_said_of_a_beginning(
    roots: Roots, request_now: FoldRequest
) -> None:
    (write_finished(roots) / FINAL_CHECKPOINT).write_bytes(b"other weights")
    with pytest.raises(FoldError, match=r"fold_0 was changed outside this project after it was finished"):
        said(roots, request_now)
    assert said(roots, request_now, retrain=True).startswith("training anew")


def test_what_was_made_elsewhere_is_refused_with_the_way_to_take_it_in(roots: Roots, request_now: FoldRequest) -> None:
    folder = EXPERIMENT.fold_folder(roots, "fold_0")
    folder.mkdir(parents=True)
    (folder / FINAL_CHECKPOINT).write_bytes(b"weights")
    with pytest.raises(FoldError, match=r"holds a training that this project did not make.*`nnunet-assets adopt`"):
        said(roots, request_now)


@pytest.mark.parametrize("options", [TrainingOptions(validation_only=True), TrainingOptions(val_best=True)])
def test_an_adopted_fold_is_not_said_to_be_validated_again_where_it_is_not(
    roots: Roots, request_now: FoldRequest, options: TrainingOptions
) -> None:
    folder = write_finished(roots)
    manifest = read_committed(folder)
    assert manifest
    commit_fold(folder, replace(manifest, details={**manifest.details, "adopted": {}}))
    assert said(roots, request_now).startswith("trained elsewhere and adopted")
    with pytest.raises(FoldError, match="trained elsewhere and adopted, so that it is not validated again here"):
        said(roots, replace(request_now, options=options))


CONFIG = ExperimentConfig(dataset=DATASET, configuration="3d_fullres", device="cpu")


def project_of(roots: Roots, folds: int | None = None) -> tuple[Settings, Project]:
    folder = roots.raw.parent
    datasets = (DatasetConfig(dataset="Dataset001_Other", folds=9), DatasetConfig(dataset=DATASET, folds=folds or 5))
    declared = Project(folder, datasets if folds else (), (CONFIG,))
    return Settings.from_environment(folder, roots.environment()), declared


class TestAFoldThatThereIsNot:
    """The split that is there has two folds."""

    def refused(self, roots: Roots, fold: str, folds: int | None = None) -> bool:
        with suppress(FoldError):
            refuse_missing_fold(*project_of(roots, folds), CONFIG, fold)
            return False
        return True

    def test_is_none_of_the_split_that_is_there_whatever_is_declared(self, roots: Roots) -> None:
        assert [self.refused(roots, fold, folds=3) for fold in ("fold_1", "fold_2", "fold_all")] == [False, True, False]

    def test_is_none_of_the_split_that_will_be_made(self, roots: Roots) -> None:
        (roots.preprocessed / DATASET / "splits_final.json").unlink()
        assert [self.refused(roots, fold) for fold in ("fold_4", "fold_5")] == [False, True]
        assert [self.refused(roots, fold, folds=3) for fold in ("fold_2", "fold_3")] == [False, True]

    def test_is_none_of_the_split_beside_the_raw_data_which_becomes_the_datasets(self, roots: Roots) -> None:
        there = roots.preprocessed / DATASET / "splits_final.json"
        beside = roots.raw / DATASET / "splits_final.json"
        beside.parent.mkdir(parents=True)
        beside.write_text(json.dumps([*SPLITS, SPLITS[0]]))
        assert [self.refused(roots, fold) for fold in ("fold_1", "fold_2")] == [False, True]
        # One that is there and cannot be read is nobody's to replace.
        there.write_text("[")
        assert [self.refused(roots, fold) for fold in ("fold_4", "fold_5")] == [False, True]
        there.unlink()
        assert [self.refused(roots, fold) for fold in ("fold_2", "fold_3")] == [False, True]


class TestBeforeAnythingIsPrepared:
    @pytest.fixture
    def asked(self, roots: Roots, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What is asked, in order; the preparation has to plan, and asks twice whether it may."""
        asked: list[str] = []

        def ensure_prepared(*_: Any, before_work: Any, before_planning: Any, **more: Any) -> Any:
            asked.append(f"prepare despite changes: {more['despite_changes']}")
            before_work()
            before_work()
            before_planning("the dataset")
            return dataset_of(roots)

        monkeypatch.setattr(module, "ensure_prepared", ensure_prepared)
        monkeypatch.setattr(module, "check_device", lambda device, n, _: asked.append(f"{n} {device}"))
        monkeypatch.setattr(module, "check_fold", lambda dataset, *_: asked.append(f"fold of {dataset}"))
        monkeypatch.setattr(module, "check_versions", lambda place, **_: asked.append(f"versions of {place.fold}"))
        return asked

    def request(self, roots: Roots, fold: str = "fold_0", **now: Any) -> FoldRequest:
        settings, project = project_of(roots)
        continues = now.pop("continue_training", False)
        return prepared_request(
            settings,
            project,
            CONFIG,
            fold,
            AskedNow(**now),
            progress=RecordedProgress(),
            continue_training=continues,
        )

    def test_versions_device_and_fold_are_looked_at_each_once(self, roots: Roots, asked: list[str]) -> None:
        request = self.request(roots)
        assert (request.experiment, request.fold, request.device) == (EXPERIMENT, "fold_0", "cpu")
        assert asked == [
            "versions of fold_0",
            "prepare despite changes: False",
            "1 cpu",
            "fold of the dataset",
        ]

    def test_of_what_is_trained_anew_no_version_counts(self, roots: Roots, asked: list[str]) -> None:
        self.request(roots, retrain=True, device="cuda", despite_changes=True)
        assert asked == ["prepare despite changes: True", "1 cuda", "fold of the dataset"]

    def test_what_cannot_be_is_refused(self, roots: Roots, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigError):
            self.request(roots, retrain=True, continue_training=True)
        assert asked == []
        with pytest.raises(FoldError, match=r"fold_2 does not exist; the splits of .* have fold_0, fold_1\."):
            self.request(roots, "fold_2")
        assert asked == ["versions of fold_2", "prepare despite changes: False"]

        def missing(*_: Any) -> None:
            raise DeviceError("There is none.")

        monkeypatch.setattr(module, "check_device", missing)
        with pytest.raises(DeviceError):
            self.request(roots)


def test_a_training_says_where_it_starts_and_has_read_the_fold_once(
    roots: Roots, request_now: FoldRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_fold(*_: Any, retrain: bool, known: Fold, engine: Any, tags: Any) -> Any:
        assert (engine.name, dict(tags)) == ("local", {})
        return retrain, known.state

    monkeypatch.setattr(module, "train_fold", train_fold)
    settings, _ = project_of(roots)
    progress = RecordedProgress()
    write_finished(roots)
    for retrain in (False, True):
        ended: Any = train_from_there(settings, request_now, None, progress, retrain=retrain)
        assert ended == (retrain, "finished")
    assert [sentence.partition(": ")[0] for sentence in progress.said] == [f"{EXPERIMENT.title}, fold_0"] * 2
    assert [sentence.partition(": ")[2].partition(";")[0] for sentence in progress.said] == [
        "finished already",
        "training anew",
    ]
