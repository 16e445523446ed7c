"""A finished fold on which plain nnU-Net validates again, and one whose predictions were deleted: it stays finished."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_sha256, read_committed
from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.fold.validation_again import AGAIN_FOLDER, OUTPUT_FOLDER
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.folds.validation_files import cases_without_probabilities
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import DATASET, TINY, PhantomProject, fold_processes

pytestmark = pytest.mark.faults

EXPERIMENT = Experiment(DATASET, "3d_fullres")
NPZ = TrainingOptions(npz=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_phantom: PhantomProject) -> PhantomProject:
    project = prepared_phantom.copy_to(tmp_path_factory.mktemp("outside"))
    project.train("fold_0", EXPERIMENT, overrides=TINY)
    return project


def validate_with_plain_nnunet(project: PhantomProject, roots: Roots, *flags: str) -> None:
    command = [sys.executable, "-m", "nnunetv2.run.run_training", DATASET, "3d_fullres", "0", "--val", "-device", "cpu"]
    own = {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
    subprocess.run(
        [*command, *flags],
        env={**project.environment, **roots.environment(), **own},
        check=True,
        capture_output=True,
    )


def test_a_validation_that_is_run_again_with_plain_nnunet_leaves_the_fold_finished(project: PhantomProject) -> None:
    folder = project.folder("fold_0", EXPERIMENT)
    summary = folder / "validation" / "summary.json"
    before, scores = summary.read_bytes(), fold_results_in(folder.parent, ["fold_0"])
    manifest, commit = read_committed(folder, check_files=True), commit_sha256(folder)
    # Under another path, as where a results folder was moved meanwhile.
    moved = Roots(project.roots.raw, project.roots.preprocessed, project.roots.results.with_name("moved"))
    project.roots.results.rename(moved.results)
    moved_folder = EXPERIMENT.fold_folder(moved, "fold_0")
    assert fold_state(moved_folder) == "finished"

    validate_with_plain_nnunet(project, moved, "--npz")

    assert (moved_folder / "validation" / "summary.json").read_bytes() != before
    assert read_committed(moved_folder, check_files=True) == manifest
    moved.results.rename(project.roots.results)
    assert fold_results_in(folder.parent, ["fold_0"]) == scores
    # The probabilities that nnU-Net made count: nothing is predicted once more for a declaration that asks for them.
    assert not project.train("fold_0", EXPERIMENT, overrides=TINY, options=NPZ).is_new
    assert commit_sha256(folder) == commit


def test_other_scores_are_seen_as_changed_outside(project: PhantomProject) -> None:
    folder = project.folder("fold_0", EXPERIMENT)
    summary, good = folder / "validation" / "summary.json", (folder / "validation" / "summary.json").read_bytes()
    content = json.loads(good)
    content["metric_per_case"][0]["metrics"]["1"]["TP"] += 1
    summary.write_text(json.dumps(content))
    assert fold_state(folder) == "changed"
    summary.write_bytes(good)
    assert fold_state(folder) == "finished"


def test_probabilities_that_were_deleted_come_back_and_nothing_is_trained(project: PhantomProject) -> None:
    folder = project.folder("fold_0", EXPERIMENT)
    first = project.train("fold_0", EXPERIMENT, overrides=TINY, options=NPZ).finished
    final, commit = (folder / "checkpoint_final.pth").read_bytes(), commit_sha256(folder)
    assert cases_without_probabilities(first) == []
    (one, *_) = sorted((folder / "validation").glob("*.npz"))
    said: list[str] = []
    ways: tuple[Callable[[], object], ...] = (
        one.unlink,
        lambda: one.write_bytes(one.read_bytes()[:100]),
        one.with_suffix(".pkl").unlink,
    )
    for damage in ways:
        damage()
        assert fold_state(folder) == "finished"
        assert cases_without_probabilities(first) == [one.stem]
        outcome = project.train(
            "fold_0", EXPERIMENT, overrides=TINY, options=NPZ, progress=RecordedProgress(said.append)
        )
        assert outcome.is_new
        assert cases_without_probabilities(outcome.finished) == []
    assert "of 1 of 3 cases are missing" in said[0]
    # The same scores again are the same fold: what was made of it stays up to date.
    assert commit_sha256(folder) == commit
    assert (folder / "checkpoint_final.pth").read_bytes() == final
    assert not project.train("fold_0", EXPERIMENT, overrides=TINY, options=NPZ).is_new


@pytest.mark.parametrize(
    "asked", [TrainingOptions(validation_only=True), TrainingOptions(val_best=True)], ids=["val", "val_best"]
)
def test_a_new_validation_that_is_stopped_leaves_the_finished_fold_as_it_was(
    project: PhantomProject, asked: TrainingOptions
) -> None:
    folder = project.folder("fold_0", EXPERIMENT)

    def finished() -> dict[str, tuple[bytes, int]]:
        own = [folder / ".nnunet_assets" / name for name in ("COMMIT", "manifest.json", "journal.jsonl")]
        files = [*own, *folder.glob("checkpoint_*.pth"), *(folder / "validation").iterdir()]
        return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}

    before = finished()

    def stop_while_it_predicts() -> None:
        if (folder / OUTPUT_FOLDER / "validation").is_dir():
            assert fold_state(folder) == "finished"
            for process in fold_processes():
                process.send_signal(signal.SIGINT)

    with pytest.raises(FoldFailed, match="was stopped on request"):
        project.train(
            "fold_0",
            EXPERIMENT,
            overrides=TINY,
            options=asked,
            progress=RecordedProgress(on_poll=stop_while_it_predicts),
        )
    assert finished() == before
    assert fold_state(folder) == "finished"
    assert not (folder / AGAIN_FOLDER).exists()


def test_predictions_that_were_deleted_are_named_with_the_way_to_get_them_back(project: PhantomProject) -> None:
    from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folds, references_folder

    folder = project.folder("fold_0", EXPERIMENT)
    (one, *_) = sorted((folder / "validation").glob("*.nii.gz"))
    one.unlink()
    found = cases_of_folds(folder.parent, references_folder(project.roots, DATASET), ["fold_0"], "the model")
    (problem,) = found.problems
    assert f"nnunet-assets train {DATASET} 3d_fullres 0 -tr nnUNetTrainer -p nnUNetPlans --val" in str(problem)
    assert fold_state(folder) == "finished"
