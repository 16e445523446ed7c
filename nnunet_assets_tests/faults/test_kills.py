"""A fold that is killed, wherever the kill comes, goes on from its last checkpoint and ends as if nothing had been.

    NNUNET_ASSETS_FAULT_TRIALS=20 pytest -m faults nnunet_assets_tests/faults/test_kills.py

tries so many random moments, 5 unless told; `NNUNET_ASSETS_FAULT_SEED` draws others.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.faults.conftest import Prepared
from nnunet_assets_tests.faults.one_fold import OVERRIDES
from nnunet_assets_tests.faults.trials import KILLED, Trial, kill_group, resume_and_check
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

N_TRIALS = int(os.environ.get("NNUNET_ASSETS_FAULT_TRIALS", "5"))
SEED = os.environ.get("NNUNET_ASSETS_FAULT_SEED", "0")

# nnU-Net imports every file of the folder that holds it, so it stands alone there.
CUT_SAVE = """
import os, signal
from pathlib import Path
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

class nnUNetTrainerCutSave(nnUNetTrainer):
    '''Is killed inside the first save of one file, when a part of its bytes is on the disk.'''

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device('cuda')):
        super().__init__(plans, configuration, fold, dataset_json, device)

    def save_checkpoint(self, filename):
        super().save_checkpoint(filename)
        name, _, part = os.environ.get("CUT_SAVE", "").partition(":")
        if name and name in Path(filename).name and self.current_epoch > 0:
            os.truncate(filename, int(float(part) * os.path.getsize(filename)))
            os.killpg(0, signal.SIGKILL)
"""


@pytest.mark.parametrize("number", range(N_TRIALS))
def test_a_kill_at_any_moment_costs_no_more_than_the_epochs_since_the_last_checkpoint(
    make_trial: Callable[..., Trial], prepared: Prepared, said: Callable[..., None], number: int
) -> None:
    trial, rng = make_trial(), random.Random(f"{SEED} {number}")
    process = trial.start()
    (trainer,) = trial.wait_for(trial.trainers)
    # Imports and validation are most of so short a training: every other kill is drawn among the epochs.
    n_epochs = rng.randint(1, OVERRIDES["num_epochs"]) if number % 2 else 0
    trial.wait_for(lambda: len(trial.epochs) >= n_epochs)
    moment = rng.uniform(0, 0.5 if n_epochs else prepared.seconds)
    time.sleep(moment)
    is_killed = kill_group(trainer)
    # Its supervisor starts it again at once, in the same run.
    assert trial.wait(process) == 0, trial.output
    assert trial.survivors == []
    said(
        killed=f"{moment:.2f} s after "
        + (f"epoch {n_epochs}" if n_epochs else f"its start (of {prepared.seconds:.1f})"),
        was_running=is_killed,
        **resume_and_check(trial),
    )


@pytest.mark.parametrize("part", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", ["latest", "best", "final"])
def test_a_kill_inside_a_save_costs_that_checkpoint_and_not_the_one_before(
    make_trial: Callable[..., Trial], tmp_path: Path, said: Callable[..., None], name: str, part: float
) -> None:
    place = tmp_path / "trainers"
    place.mkdir()
    (place / "nnUNetTrainerCutSave.py").write_text(dedent(CUT_SAVE))
    trial = make_trial(trainer="nnUNetTrainerCutSave", variables={"nnUNet_extTrainer": str(place)})
    trial.variables["CUT_SAVE"] = f"{name}:{part}"
    code = trial.run()
    if name == "best" and code == 0:
        pytest.skip("The pseudo Dice of this training never got better after its first epoch.")
    assert code == KILLED, trial.output
    del trial.variables["CUT_SAVE"]
    said(**resume_and_check(trial))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fold_that_is_asked_to_stop_ends_at_once_and_goes_on_later(
    make_trial: Callable[..., Trial], said: Callable[..., None], number: signal.Signals
) -> None:
    trial = make_trial()
    process = trial.start()
    trial.wait_for(lambda: len(trial.epochs) >= 3)
    (trainer,) = trial.trainers()
    began = time.monotonic()
    trainer.send_signal(number)
    assert trial.wait(process) == ExitCode.STOPPED, trial.output
    seconds = time.monotonic() - began
    assert trial.survivors == []
    assert seconds < 15  # the fold's own end, the end of its MLflow run, and the look for survivors
    said(ended_after=f"{seconds:.1f} s", **resume_and_check(trial))


def test_a_fold_whose_parent_is_killed_dies_with_it_and_goes_on_later(
    make_trial: Callable[..., Trial], said: Callable[..., None]
) -> None:
    trial = make_trial()
    process = trial.start()
    trial.wait_for(lambda: len(trial.epochs) >= 3)
    assert trial.trainers()
    process.kill()
    assert trial.wait(process) == -signal.SIGKILL
    assert trial.survivors == []
    said(**resume_and_check(trial))
