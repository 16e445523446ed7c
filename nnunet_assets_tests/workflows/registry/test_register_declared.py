"""What was chosen for a dataset, on its way into the registry; the choice and the registration are played."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.evaluation.step_scores import StepPlan
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.usable_model import UsableModel
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.selection.selecting import StepScores
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import TrackedRun
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry import register_declared as module
from nnunet_assets.workflows.registry.register import ModelToRegister
from nnunet_assets.workflows.registry.register_declared import register_declared
from nnunet_assets.workflows.results.predict import ScoredTestSet
from nnunet_assets_tests.assets.graphs import declared
from nnunet_assets_tests.builders import build_fold_result
from nnunet_assets_tests.package_builders import ABOUT, DATASET, FOLDS, model_of, write_model

CONFIG = DatasetConfig(dataset=DATASET, folds=2, register="Best", register_margin=0.02, licence="CC-BY-4.0")


@dataclass(frozen=True)
class _Candidate:
    model: str


@dataclass(frozen=True)
class _Best:
    chosen_candidate: _Candidate


@dataclass(frozen=True)
class _Selected:
    model: UsableModel
    experiments: tuple[Experiment, ...]
    folds: tuple[str, ...]
    about: Any
    best: _Best


def registered(
    tmp_path: Path,
    config: DatasetConfig,
    model: str,
    *experiments: Experiment,
    steps: Any = (),
    after: StepScores | None = None,
) -> Any:
    """Returns what is asked to be registered, and whose summary was read; `after` is what masks score after steps."""
    seen: dict[str, Any] = {}
    usable = model_of(*(write_model(tmp_path, one) for one in experiments), steps=steps)

    def summary_of(_roots: Any, experiment: Experiment) -> Any:
        seen["scored"] = experiment
        folds = [build_fold_result(fold, {f"c{k}": {"organ": 0.8}}) for k, fold in enumerate(FOLDS)]
        return summarize(experiment, FOLDS, folds)

    def takes(_settings: Any, wanted: ModelToRegister, *_: Any) -> str:
        seen["wanted"] = wanted
        return "registered"

    def scored_after(_settings: Any, _summary: Any, *, progress: Any, notes: list[str]) -> StepScores | None:
        notes += [] if after else ["Postprocessing of 2d is not looked at: a mask is torn."]
        return after

    selected = _Selected(usable, experiments, FOLDS, ABOUT, _Best(_Candidate(model)))
    settings = Settings.from_environment(tmp_path, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "selected_model", lambda *_: selected)
        patch.setattr(module, "read_current_summary", summary_of)
        patch.setattr(module, "bring_up_to_date", lambda *_, **__: TrackedRun("run"))
        patch.setattr(module, "with_inputs", lambda about, _: replace(about, inputs={"a": {"raw_hash": "raw"}}))
        patch.setattr(module, "register_model", takes)
        patch.setattr(module, "scores_after_steps", scored_after)
        project = declared([config])
        assert register_declared(settings, project, config, Destination.of(settings)) == "registered"
    return seen["wanted"], seen["scored"]


def test_a_single_model_goes_with_its_number_margin_and_scores(tmp_path: Path) -> None:
    experiment = Experiment(DATASET, "2d")
    wanted, scored = registered(tmp_path, CONFIG, experiment.name_in_dataset, experiment)
    assert scored == experiment
    assert (wanted.name, wanted.run_id, wanted.margin) == ("Best", "run", 0.02)
    assert (wanted.about.numbers, wanted.about.licence, wanted.about.notes) == (ABOUT.numbers, "CC-BY-4.0", ())
    assert [one.passed for one in wanted.verdicts] == [True, True]
    assert wanted.scores.cases == {"c0", "c1"}


MEMBERS = (Experiment(DATASET, "2d"), Experiment(DATASET, "2d_large"))
PLAN = StepPlan(((1,),), (None,), {"organ": (1,)}, {"organ": (0,)})


def test_an_ensemble_is_compared_by_what_its_masks_score_after_its_postprocessing(tmp_path: Path) -> None:
    cases = {f"c{k}": {"organ": {"reference_voxels": 9, "0": 0.8, "1": 0.85 + k / 100}} for k in range(2)}
    # A fold that is not of the summary has been scored, too.
    after = StepScores(PLAN, {**cases, "other": cases["c0"]})
    wanted, scored = registered(tmp_path, CONFIG, "ensembles/both", *MEMBERS, steps=[(1,)], after=after)
    assert scored == Experiment.ensemble(DATASET, "both")
    assert len(wanted.usable.members) == 2
    assert wanted.scores.scores == {"dice": {"organ": {"c0": 0.85, "c1": 0.86}}}


def test_postprocessed_masks_that_cannot_be_scored_leave_nothing_to_compare(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted, _ = registered(tmp_path, CONFIG, "ensembles/both", *MEMBERS, steps=[(1,)])
    assert wanted.scores is None
    assert "a mask is torn. So nothing can be compared with what this version gives." in caplog.text


def test_a_dataset_that_names_no_model_is_told_how_to(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"registered_as": None})
    settings = Settings.from_environment(tmp_path, {})
    with pytest.raises(ConfigError, match="Add `register: NAME` to its declaration"):
        register_declared(settings, declared([config]), config, Destination.of(settings))


@pytest.mark.parametrize(
    ("changes", "known"),
    [({}, True), ({"test_set": False}, False), ({"register_full_model": True, "full_model": True}, False)],
)
def test_folds_go_with_what_they_score_on_the_declared_test_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, bool], *, known: bool
) -> None:
    experiment = Experiment(DATASET, "2d")
    config = ExperimentConfig.model_validate(
        {"dataset": DATASET, "configuration": "2d", "register": "Tiny", "test_set": True, **changes}
    )
    summary = summarize(experiment, FOLDS, [build_fold_result(fold, {f"{fold}_c": {"organ": 0.8}}) for fold in FOLDS])
    asked: dict[str, ModelToRegister] = {}

    def takes(_settings: Any, wanted: ModelToRegister, *_: Any) -> str:
        asked["wanted"] = wanted
        return "registered"

    monkeypatch.setattr(module, "usable_experiment", lambda *_: model_of(write_model(tmp_path)))
    monkeypatch.setattr(module, "up_to_date_summary", lambda *_: summary)
    monkeypatch.setattr(module, "about_experiment", lambda *_, **__: ABOUT)
    monkeypatch.setattr(module, "with_inputs", lambda about, _: about)
    monkeypatch.setattr(module, "bring_up_to_date", lambda *_, **__: TrackedRun("run"))
    monkeypatch.setattr(module, "cases_by_turns", lambda *_: ())
    monkeypatch.setattr(module, "scored_test_set", lambda *_: ScoredTestSet("of the test set", {"t0": {"organ": 0.7}}))
    monkeypatch.setattr(module, "register_model", takes)
    settings = Settings.from_environment(tmp_path, {})
    project = declared([DatasetConfig(dataset=DATASET, folds=2)], [config])
    register_declared(settings, project, config, Destination.of(settings))
    found = asked["wanted"].test_scores
    assert (found is not None) == known
    if found is not None:
        assert (found.raw_hash, found.scores) == ("of the test set", {"dice": {"organ": {"t0": 0.7}}})


def test_an_experiment_that_names_no_model_is_told_how_to(tmp_path: Path) -> None:
    config = ExperimentConfig(dataset=DATASET, configuration="2d")
    settings = Settings.from_environment(tmp_path, {})
    with pytest.raises(ConfigError, match="nnUNetTrainer__nnUNetPlans__2d does not say under which name it is reg"):
        register_declared(settings, declared([CONFIG], [config]), config, Destination.of(settings))
    bare = CONFIG.model_copy(update={"registered_as": None})
    with pytest.raises(ConfigError, match=f"{DATASET} does not say under which name its best configuration is reg"):
        register_declared(settings, declared([bare]), bare, Destination.of(settings))


@pytest.mark.parametrize("is_full", [False, True])
def test_the_model_of_every_case_goes_alone_with_the_numbers_of_the_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    asked: dict[str, Any] = {}

    def usable(_settings: Any, experiment: Experiment, folds: Any) -> UsableModel:
        asked["packed"] = tuple(folds)
        return model_of(write_model(tmp_path, experiment, list(folds)))

    def about(_roots: Any, _identity: Any, folds: Any, _progress: Any, *, is_full_model: bool) -> Any:
        asked["about"] = (tuple(folds), is_full_model)
        return ABOUT

    monkeypatch.setattr(module, "usable_experiment", usable)
    monkeypatch.setattr(module, "up_to_date_summary", lambda _roots, _one, folds, _progress: tuple(folds))
    monkeypatch.setattr(module, "about_experiment", about)
    config = ExperimentConfig.model_validate(
        {
            "dataset": DATASET,
            "configuration": "2d",
            "register": "Tiny",
            "register_full_model": is_full,
            "full_model": is_full,
            "device": "cpu",
        }
    )
    project = declared([DatasetConfig(dataset=DATASET, folds=2)], [config])
    found = module._trained(Settings.from_environment(tmp_path, {}), project, config, SILENT)
    assert asked == {"packed": ("fold_all",) if is_full else FOLDS, "about": (FOLDS, is_full)}
    assert (tuple(found.folds), found.summary, found.device) == (FOLDS, FOLDS, "cpu")


def test_a_label_that_a_case_of_the_test_set_lacks_is_undefined_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExperimentConfig.model_validate({"dataset": DATASET, "configuration": "2d", "test_set": True})
    project = declared([DatasetConfig(dataset=DATASET, folds=2)], [config])
    settings, found = Settings.from_environment(tmp_path, {}), SimpleNamespace(folds=FOLDS)
    cases: dict[str, Any] = {"t0": {"organ": 0.5}, "t1": {"lesion": 0.25, "organ": None}}
    monkeypatch.setattr(module, "scored_test_set", lambda *_: ScoredTestSet("digest", cases))
    scores = module._test_scores(settings, project, config, found, SILENT)  # type: ignore[arg-type]
    assert scores is not None
    assert scores.scores == {"dice": {"lesion": {"t0": None, "t1": 0.25}, "organ": {"t0": 0.5, "t1": None}}}
    assert list(scores.scores["dice"]) == ["lesion", "organ"]
    monkeypatch.setattr(module, "scored_test_set", lambda *_: None)
    assert module._test_scores(settings, project, config, found, SILENT) is None  # type: ignore[arg-type]
    assert module._test_scores(settings, project, CONFIG, found, SILENT) is None  # type: ignore[arg-type]


def test_an_experiment_is_scored_by_itself_whatever_it_is_called(tmp_path: Path) -> None:
    _, scored = registered(tmp_path, CONFIG, "ensembles/both", MEMBERS[0])
    assert scored == MEMBERS[0]
    _, scored = registered(tmp_path / "other", CONFIG, "others/both", *MEMBERS)
    assert scored == MEMBERS[0]
