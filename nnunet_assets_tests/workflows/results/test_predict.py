"""A test set predicted by folds that were never trained: all but the network and the tracking server is real."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import DatasetError, FoldError, NnunetAssetsError
from nnunet_assets.nnunet.predictions import cases_run
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import AssetRun, TrackedRun
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results import predict as workflow
from nnunet_assets.workflows.results.predict import (
    NO_REFERENCES,
    PredictedTestSet,
    ScoredTestSet,
    predict_test_set,
    scored_test_set,
)
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case
from nnunet_assets_tests.prediction_builders import (
    DATASET,
    EXPERIMENT,
    PLANS,
    PredictingChild,
    write_folds,
    write_test_set,
)
from nnunet_assets_tests.raw_builders import write_json
from nnunet_assets_tests.recorded_progress import RecordedProgress


@dataclass
class Setup:
    """Two finished folds and a test set of two cases."""

    settings: Settings
    raw: Path
    child: PredictingChild
    progress: RecordedProgress = field(default_factory=RecordedProgress)

    @property
    def folder(self) -> Path:
        return EXPERIMENT.summary_folder(self.settings.roots)

    def fold(self, name: str) -> Path:
        return EXPERIMENT.fold_folder(self.settings.roots, name)

    def predict(self, experiment: Experiment = EXPERIMENT) -> PredictedTestSet:
        return predict_test_set(
            self.settings,
            experiment,
            ["fold_0", "fold_1"],
            DatasetConfig(dataset=DATASET),
            device="cpu",
            environment={},
            progress=self.progress,
            destination=Destination.of(self.settings),
        )


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    settings, child = Settings.from_environment(tmp_path, {}), PredictingChild()
    write_folds(settings.roots)

    def tracked(_destination: Destination, run: AssetRun, files: list[Path], **_: Any) -> TrackedRun:
        assert all(file.is_file() for file in files)
        return TrackedRun(run.name)

    monkeypatch.setattr(cases_run, "run_child", child)
    monkeypatch.setattr(workflow, "bring_up_to_date", tracked)
    return Setup(settings, write_test_set(settings.roots), child)


def test_all_folds_predict_together_and_how_far_it_is_is_told(setup: Setup) -> None:
    found = setup.predict()

    (request,) = setup.child.requests
    (member,) = request.members
    assert (member.folds, member.checkpoint, request.device) == (("fold_0", "fold_1"), "checkpoint_final.pth", "cpu")
    assert found.headline == "Dice 1.000 on the test set, 0.500 in the cross-validation (+0.500)"
    assert found.tracked.run_id == "2d test set"
    assert setup.progress.said[-1] == "2 of 2 test cases were predicted now."
    assert [what for what, n_done, _ in setup.progress.steps if n_done] == [
        *["cases of the test set read"] * 2,
        *["cases evaluated"] * 5,
    ]


def test_the_same_folds_and_images_are_not_predicted_again(setup: Setup) -> None:
    first, second = setup.predict(), setup.predict()

    assert len(setup.child.requests) == 1
    assert second.predicted.n_predicted == 0
    assert first.digest() == second.digest()
    write_case(setup.raw / "imagesTs" / "new_2_0000.nii.gz", HIGHER)
    assert setup.predict().digest() != second.digest()
    assert setup.child.predicted == [["new_1", "new_2"], ["new_2"]]
    (setup.fold("fold_1") / "checkpoint_final.pth").write_text("trained anew")
    setup.predict()
    assert setup.child.predicted[2:] == [["new_1", "new_2"]]


def test_a_prediction_that_died_goes_on_with_the_cases_that_are_missing(setup: Setup) -> None:
    setup.child.dies_after = 1
    with pytest.raises(
        FoldFailed, match=r"RuntimeError\. 1 of 2 cases were predicted and are kept: materialize it again to go on\."
    ):
        setup.predict()
    assert not (setup.folder / "test_predictions").exists()

    setup.child.dies_after = None
    setup.predict()
    assert setup.child.predicted == [["new_1", "new_2"], ["new_2"]]


def test_folds_that_change_while_they_predict_make_no_predictions(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained_meanwhile(*arguments: Any, **options: Any) -> ChildResult:
        (setup.fold("fold_1") / "checkpoint_final.pth").write_text("trained anew")
        return setup.child(*arguments, **options)

    monkeypatch.setattr(cases_run, "run_child", trained_meanwhile)
    with pytest.raises(FoldError, match=r"changed while they predicted\. Materialize it again\."):
        setup.predict()
    setup.predict()
    assert setup.child.predicted == [["new_1", "new_2"]] * 2


def test_the_scores_of_a_test_set_are_those_of_todays_folds_images_and_references(setup: Setup) -> None:
    def scored() -> ScoredTestSet | None:
        dataset = DatasetConfig(dataset=DATASET)
        return scored_test_set(setup.settings, EXPERIMENT, ["fold_0", "fold_1"], dataset, setup.progress)

    assert scored() is None, "nothing is predicted for it"
    setup.predict()
    first = scored()
    assert first is not None
    assert sorted(first.cases) == ["new_1", "new_2"]
    assert {frozenset(labels) for labels in first.cases.values()} == {frozenset({"organ", "lesion"})}
    assert first.cases["new_1"]["organ"] == 1.0
    assert scored() == first
    write_case(setup.raw / "labelsTs" / "new_2.nii.gz", HIGHER)
    changed = scored()
    assert changed is not None
    assert changed.digest != first.digest
    assert changed.cases["new_2"]["organ"] != first.cases["new_2"]["organ"]
    write_case(setup.raw / "imagesTs" / "new_2_0000.nii.gz", HIGHER)
    assert scored() is None, "of other images"
    assert len(setup.child.requests) == 1
    for path in (setup.raw / "labelsTs").iterdir():
        path.unlink()
    setup.predict()
    assert scored() is None, "without references"


def test_without_references_it_is_predicted_and_not_evaluated(setup: Setup) -> None:
    for path in (setup.raw / "labelsTs").iterdir():
        path.unlink()

    found = setup.predict()

    assert (found.headline, found.predicted.n_predicted, found.scores) == (NO_REFERENCES, 2, None)
    assert found.tracked == TrackedRun()
    assert not (setup.folder / "test_evaluation").exists()
    assert not (setup.folder / "evaluation").exists()


def test_what_is_missing_is_named_before_anything_is_done(setup: Setup) -> None:
    def reason(kind: type[NnunetAssetsError] = FoldError) -> str:
        with pytest.raises(kind) as caught:
            setup.predict()
        assert setup.child.requests == []
        return str(caught.value)

    write_case(setup.raw / "labelsTs" / "new_2.nii.gz", REFERENCE[1:])
    assert "labelsTs/new_2.nii.gz has the shape" in reason(DatasetError)
    write_json(EXPERIMENT.model_folder(setup.settings.roots) / "plans.json", {"plans_name": "another"})
    assert "is missing or not what the folds" in reason()
    write_json(EXPERIMENT.model_folder(setup.settings.roots) / "plans.json", PLANS)
    (setup.fold("fold_0") / "checkpoint_final.pth").unlink()
    assert "fold_0 has no checkpoint_final.pth to predict with" in reason()
    (setup.fold("fold_1") / ".nnunet_assets" / "COMMIT").unlink()
    assert "1 of 2 is not finished, or changed since: fold_1. Train what is missing first." in reason()


def test_a_prediction_that_cannot_be_evaluated_is_a_problem_beside_the_others(setup: Setup) -> None:
    """Its image is its prediction here: a value that no label has."""
    odd = np.where(REFERENCE == 2, 7, REFERENCE).astype(np.uint8)
    write_case(setup.raw / "imagesTs" / "new_2_0000.nii.gz", odd)

    found = setup.predict()

    assert found.scores is not None
    assert "Case 'new_2' was not evaluated" in found.scores.evaluation.problem_text()
    assert found.headline == "Dice 1.000 on the test set, 0.500 in the cross-validation (+0.500)"


def test_a_cascade_takes_the_predictions_of_the_stage_before_it_and_names_those_that_are_missing(
    setup: Setup,
) -> None:
    lowres, cascade = (Experiment(DATASET, name) for name in ("3d_lowres", "3d_cascade_fullres"))
    for experiment in (lowres, cascade):
        write_folds(setup.settings.roots, experiment)

    with pytest.raises(FoldError, match="lacks these cases of the test set: new_1, new_2"):
        setup.predict(cascade)
    before = setup.predict(lowres)
    setup.predict(cascade)

    assert [request.cases[0].previous for request in setup.child.requests] == [
        (None,),
        (before.predicted.folder / "new_1.nii.gz",),
    ]


def test_while_one_process_predicts_another_is_refused(setup: Setup) -> None:
    work = setup.folder / ".test_predictions"
    work.mkdir(parents=True)
    with (
        kernel_lock(work / "owner.lock"),
        pytest.raises(FoldError, match="Another process predicts the test set of"),
    ):
        setup.predict()
    assert setup.child.requests == []


def test_its_digest_is_of_the_masks_the_evaluation_and_the_table_of_gaps(setup: Setup) -> None:
    found = setup.predict()
    assert found.scores is not None
    of_gaps, table = found.scores.gap_files
    assert found.digest() == json_sha256([found.predicted.digest, found.scores.content, file_sha256(table)])
    before = found.digest()
    of_gaps.write_text("{}")
    assert found.digest() == before
    table.write_text("changed")
    assert found.digest() != before
    assert replace(found, scores=None).digest() == json_sha256([found.predicted.digest])


def test_a_test_set_that_cannot_be_read_or_evaluated_in_whole_has_no_scores(setup: Setup) -> None:
    def scored() -> ScoredTestSet | None:
        dataset = DatasetConfig(dataset=DATASET)
        return scored_test_set(setup.settings, EXPERIMENT, ["fold_0", "fold_1"], dataset, setup.progress)

    # Its image is its prediction here: a value that no label has.
    write_case(setup.raw / "imagesTs" / "new_2_0000.nii.gz", np.where(REFERENCE == 2, 7, REFERENCE).astype(np.uint8))
    setup.predict()
    assert scored() is None
    write_case(setup.raw / "imagesTs" / "new_2_0000.nii.gz", REFERENCE)
    setup.predict()
    assert setup.progress.said[-1] == "1 of 2 test cases were predicted now, the others before."
    assert scored() is not None
    setup.predict()
    assert setup.progress.said[-1] == "0 of 2 test cases were predicted now, the others before."
    write_case(setup.raw / "labelsTs" / "new_2.nii.gz", REFERENCE[1:])
    assert scored() is None
