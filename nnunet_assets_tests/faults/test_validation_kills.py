"""A finished fold that is validated again for its probabilities stays finished, whoever is killed meanwhile."""

from collections.abc import Callable

import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import COMMIT_FILE, FinishedFold, read_committed
from nnunet_assets.core.fold.validation_again import AGAIN_FOLDER, OUTPUT_FOLDER
from nnunet_assets.nnunet.folds.validation_files import cases_without_probabilities
from nnunet_assets_tests.faults.one_fold import NPZ_VARIABLE
from nnunet_assets_tests.faults.trials import SIBLING, Trial, kill_group, stamps_of
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]


@pytest.mark.parametrize("dead", ["the fold's process", "all"])
@pytest.mark.parametrize("sign", ["*.npz", "summary.json"])
def test_a_kill_in_a_new_validation_leaves_the_finished_fold_as_it_was(
    make_trial: Callable[..., Trial], said: Callable[..., None], dead: str, sign: str
) -> None:
    trial = make_trial(variables={NPZ_VARIABLE: "1"})
    fold = trial.fold_folder(SIBLING)
    finished, before, results = FinishedFold.read(fold, check_files=True), _finished_files(trial), _scored(trial)
    assert finished
    assert len(cases_without_probabilities(finished)) > 0
    process = trial.start(SIBLING)
    trial.wait_for(lambda: list((fold / OUTPUT_FOLDER / "validation").glob(sign)))
    (trainer,) = trial.trainers()
    if dead == "all":
        process.kill()
    was_running = kill_group(trainer)
    if dead == "all":
        process.wait()
        trial.end_processes()
        # What the next reader finds; a new validation that is whole, and half taken over, is for the next start.
        if not (fold / AGAIN_FOLDER / COMMIT_FILE).exists():
            assert read_committed(fold, check_files=True) == finished.manifest
            assert not cases_without_probabilities(finished) or _finished_files(trial) == before
        process = trial.start(SIBLING)
    # Where its process alone was killed, its supervisor starts it again at once, in the same run.
    assert trial.wait(process) == 0, trial.output
    assert trial.survivors == []
    assert read_committed(fold, check_files=True) == finished.manifest
    assert cases_without_probabilities(finished) == []
    assert _scored(trial) == results
    assert not (fold / AGAIN_FOLDER).exists()
    said(was_running=was_running)


def _finished_files(trial: Trial) -> dict[str, tuple[str, int]]:
    """Returns what a finished fold is, and its curves."""
    own = {f"{OWN_FOLDER}/{name}" for name in ("COMMIT", "manifest.json", "journal.jsonl")}
    stamps = stamps_of(trial.fold_folder(SIBLING))
    return {
        name: stamp for name, stamp in stamps.items() if name.startswith(("validation/", "checkpoint_")) or name in own
    }


def _scored(trial: Trial) -> dict[str, str]:
    """Returns the digests of the segmentations."""
    stamps = stamps_of(trial.fold_folder(SIBLING) / "validation")
    return {name: sha256 for name, (sha256, _) in stamps.items() if name.endswith(".nii.gz")}
