"""The round trip of a version; its real one, with a trained model, is in `test_registered_for_real`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.nnunet.predictions.prediction_request import PredictionRequest
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry.round_trip import CaseOfRoundTrip
from nnunet_assets.workflows.registry import round_trip
from nnunet_assets.workflows.registry.round_trip import StoredCase, cases_by_turns, stored_cases, try_round_trip
from nnunet_assets_tests.builders import build_fold_result
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case
from nnunet_assets_tests.package_builders import cascade, model_of, write_model
from nnunet_assets_tests.raw_builders import tiny_json, write_json
from nnunet_assets_tests.recorded_progress import RecordedProgress

DATASET = "Dataset001_Tiny"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def write_raw(settings: Settings, *cases: str) -> None:
    folder = settings.roots.raw / DATASET
    write_json(folder / "dataset.json", tiny_json())
    for case in cases:
        write_case(folder / "imagesTr" / f"{case}_0000.nii.gz", REFERENCE)
        write_case(folder / "labelsTr" / f"{case}.nii.gz", REFERENCE)


class Played:
    """Stands for both children: masks as they are told to be, or a failure."""

    def __init__(self, own: np.ndarray = REFERENCE, other: np.ndarray = REFERENCE, problem: str | None = None) -> None:
        self._own, self._other, self._problem = own, other, problem
        self.asked: list[tuple[str, list[str], list[tuple[str | None, ...]]]] = []
        self.bare: dict[str, str] = {}
        self.steps: list[tuple[Any, ...]] = []
        self.own_problem: str | None = None

    def by_folds(self, _module: str, request: PredictionRequest, **_: Any) -> ChildResult:
        names = [member.experiment.configuration for member in request.members]
        previous = [tuple(file.parent.name[:5] if file else None for file in case.previous) for case in request.cases]
        self.asked.append((request.device, names, previous))
        self.steps.append(request.postprocessing)
        assert request.is_repeatable
        if self.own_problem:
            return ChildResult(1, self.own_problem, "")
        for case in request.cases:
            write_case(case.file, self._own)
        return ChildResult(0, None, "")

    def by_version(
        self, uri: str, address: str, _device: str, cases: Sequence[CaseOfRoundTrip], *, folder: Path, environment: Any
    ) -> ChildResult:
        self.bare = {"uri": uri, "address": address, **environment}
        for case in cases:
            write_case(case.file, self._other)
        return ChildResult(1 if self._problem else 0, self._problem, "")


def tried(settings: Settings, played: Played, *members: Member, n_cases: int = 2) -> Any:
    write_raw(settings, "a", "b", "c")
    cases = stored_cases(settings, DATASET, ["a", "b", "c"])[:n_cases]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(round_trip, "run_child", played.by_folds)
        patch.setattr(round_trip, "predict_bare", played.by_version)
        return try_round_trip(
            settings,
            model_of(*members, steps=[(1,)]),
            "models:/Tiny/1",
            "sqlite:////data/mlflow.db",
            cases,
            device="cpu",
            progress=RecordedProgress(),
        )


def test_equal_masks_pass_and_a_voxel_that_differs_does_not(settings: Settings, tmp_path: Path) -> None:
    member = write_model(tmp_path / "results")
    played = Played()
    assert tried(settings, played, member).passed
    assert played.asked == [("cpu", ["2d"], [(None,), (None,)])]
    assert (played.bare["uri"], played.bare["address"]) == ("sqlite:////data/mlflow.db", "models:/Tiny/1")
    n_different = int((HIGHER != REFERENCE).sum())
    unequal = tried(settings, Played(other=HIGHER), member)
    assert (unequal.passed, unequal.numbers["unequal_voxels"]) == (False, 2 * n_different)
    assert not any((tmp_path / "data" / "models").glob(".round_trip*"))


def test_stages_of_cascades_are_predicted_once_and_before(settings: Settings, tmp_path: Path) -> None:
    played = Played()
    assert tried(settings, played, write_model(tmp_path / "results"), cascade(tmp_path / "results")).passed
    assert [names for _, names, _ in played.asked] == [["3d_lowres"], ["2d", "3d_cascade_fullres"]]
    assert played.asked[1][2] == [(None, "folds"), (None, "folds")]


def test_whatever_goes_wrong_is_a_verdict_with_the_reason(settings: Settings, tmp_path: Path) -> None:
    member = write_model(tmp_path / "results")
    failed = tried(settings, Played(problem="The process ran out of memory."), member)
    assert (failed.passed, "predicted nothing. The process ran out of memory." in failed.sentence) == (False, True)
    without = tried(settings, Played(), member, n_cases=0)
    assert (without.passed, "No validation case has its images" in without.sentence) == (False, True)


def test_cases_are_those_whose_images_are_there_and_no_more_than_two(settings: Settings) -> None:
    assert stored_cases(settings, DATASET, ["a"]) == []
    write_raw(settings, "a", "b", "c")
    images = settings.roots.raw / DATASET / "imagesTr"
    found = stored_cases(settings, DATASET, ["gone", "c", "a", "b"])
    assert found == [StoredCase(name, (images / f"{name}_0000.nii.gz",)) for name in ("c", "a")]


def test_masks_of_another_shape_differ_in_every_voxel_and_each_case_is_counted_by_its_place(
    settings: Settings, tmp_path: Path
) -> None:
    member = write_model(tmp_path / "results")
    found = tried(settings, Played(other=REFERENCE[1:]), member)
    assert found.numbers == {"cases": 2, "unequal_cases": 2, "unequal_voxels": 2 * REFERENCE.size}
    files = [write_case(tmp_path / f"{name}.nii.gz", voxels) for name, voxels in (("r", REFERENCE), ("h", HIGHER))]
    model = model_of(member)
    assert round_trip._unequal(files, [files[0], files[0]], model, frozenset()) == {
        "case 2": int((HIGHER != REFERENCE).sum())
    }
    assert round_trip._unequal(files, files, model, frozenset()) == {}


def test_steps_are_taken_of_the_last_masks_alone(settings: Settings, tmp_path: Path) -> None:
    played = Played()
    assert tried(settings, played, cascade(tmp_path / "results")).passed
    assert played.steps == [(), ((1,),)]


def test_a_stage_of_two_cascades_and_a_stage_before_a_stage_are_predicted_once_in_their_order(
    settings: Settings, tmp_path: Path
) -> None:
    last = cascade(tmp_path / "results")
    assert last.previous is not None
    middle = replace(last.previous, experiment=replace(last.experiment, configuration="middle"), previous=last.previous)
    played = Played()
    long = replace(last, previous=middle)
    other = replace(last, experiment=replace(last.experiment, configuration="other"))
    assert tried(settings, played, long, other).passed
    asked = [names for _, names, _ in played.asked]
    assert asked == [["3d_lowres"], ["middle"], [long.experiment.configuration, "other"]]
    assert played.asked[1][2] == [("folds",), ("folds",)]
    assert played.asked[2][2] == [("folds", "folds"), ("folds", "folds")]


def test_the_version_is_loaded_with_what_mlflow_needs_and_nothing_else_of_the_projects(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {"MLFLOW_TRACKING_TOKEN": "t", "OTHER": "o"})
    played = Played()
    assert tried(settings, played, write_model(tmp_path / "results")).passed
    assert played.bare["MLFLOW_TRACKING_TOKEN"] == "t"
    assert "nnUNet_results" not in played.bare


def test_folds_that_predict_nothing_are_a_verdict(settings: Settings, tmp_path: Path) -> None:
    played = Played()
    played.own_problem = "The disk is full."
    found = tried(settings, played, write_model(tmp_path / "results"))
    said = "It could not be tried: The folds themselves predicted nothing. The disk is full."
    assert (found.passed, found.sentence, found.numbers["cases"]) == (False, said, 2)
    assert played.bare == {}


def test_cases_are_taken_from_the_folds_by_turns(settings: Settings) -> None:
    write_raw(settings, "a", "b", "c", "d")
    summary = summarize(
        Experiment(DATASET, "2d"),
        ["fold_0", "fold_1"],
        [
            build_fold_result("fold_0", {name: {"organ": 0.5} for name in ("c", "d")}),
            build_fold_result("fold_1", {name: {"organ": 0.5} for name in ("a", "b")}),
        ],
    )
    assert [case.name for case in cases_by_turns(settings, summary)] == ["c", "a"]
    (settings.roots.raw / DATASET / "imagesTr" / "c_0000.nii.gz").unlink()
    assert [case.name for case in cases_by_turns(settings, summary)] == ["a", "d"]
    (settings.roots.raw / DATASET / "dataset.json").write_text("{")
    assert cases_by_turns(settings, summary) == ()
