"""Real trainings on a real Slurm of two nodes: whatever ends a job or who supervises it, each epoch is trained once.

    pytest -m faults nnunet_assets_tests/faults/test_slurm_kills.py

Skipped where Slurm is not installed. What needs no training is in `engines/slurm_cluster/test_real_slurm.py`.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import n_saved_epochs
from nnunet_assets.engines.job_files import open_record
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.engines.real_slurm import RealSlurm, lack, real_slurm
from nnunet_assets_tests.faults.one_fold import RETRAIN_VARIABLE, SLURM_VARIABLE
from nnunet_assets_tests.faults.trials import Trial, check_finished
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

SLOW = """
import time
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

class nnUNetTrainerSlow(nnUNetTrainer):
    '''Takes its time for an epoch.'''

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device('cuda')):
        super().__init__(plans, configuration, fold, dataset_json, device)

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        time.sleep(14)
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[RealSlurm]:
    if reason := lack():
        pytest.skip(reason)
    with real_slurm() as found:
        yield found


@pytest.fixture
def trial(make_trial: Callable[..., Trial], slurm: RealSlurm) -> Trial:
    return make_trial(variables={**slurm.variables, SLURM_VARIABLE: json.dumps({"time_limit_minutes": 30})})


def check(trial: Trial, slurm: RealSlurm) -> dict[str, Any]:
    """The check after every trial, and that no job is left; returns figures for the report."""
    slurm.wait_until_idle()
    figures = check_finished(trial)
    assert figures["epochs sent twice"] == 0
    assert open_record(trial.fold_folder()) is None
    manifest = read_committed(trial.fold_folder())
    assert manifest
    assert manifest.details["job"]["node"] in ("n1", "n2")
    return {"jobs": n_jobs(trial), **figures}


def n_jobs(trial: Trial) -> int:
    return len(list((trial.fold_folder() / ".nnunet_assets" / "jobs").iterdir()))


def test_a_fold_that_nothing_happens_to(trial: Trial, slurm: RealSlurm, said: Callable[..., None]) -> None:
    process = trial.start()
    began = time.monotonic()
    trial.wait_for(slurm.jobs)
    submitted = time.monotonic() - began
    trial.wait_for(lambda: trial.epochs, seconds=400)
    first = time.monotonic() - began
    trial.wait_for(lambda: read_committed(trial.fold_folder()), seconds=400)
    committed = time.monotonic()
    assert trial.wait(process) == 0, trial.output
    said(
        submitted_after=f"{submitted:.1f} s",
        first_epoch_after=f"{first:.1f} s",
        ended_after_commit=f"{time.monotonic() - committed:.1f} s",
        **check(trial, slurm),
    )


def test_a_job_that_is_cancelled_in_the_middle(trial: Trial, slurm: RealSlurm, said: Callable[..., None]) -> None:
    process = trial.start()
    trial.wait_for(lambda: (n_saved_epochs(trial.fold_folder()) or 0) >= 2, seconds=400)
    slurm.call("scancel", *slurm.jobs())
    assert trial.wait(process) == 0, trial.output
    said(**check(trial, slurm))
    assert n_jobs(trial) == 2


@pytest.mark.timeout(1800)
def test_a_time_limit_that_cuts_it_twice(
    make_trial: Callable[..., Trial], slurm: RealSlurm, tmp_path: Path, said: Callable[..., None]
) -> None:
    place = tmp_path / "trainers"
    place.mkdir()
    (place / "nnUNetTrainerSlow.py").write_text(dedent(SLOW))
    variables = {**slurm.variables, "nnUNet_extTrainer": str(place), SLURM_VARIABLE: '{"time_limit_minutes": 1}'}
    trial = make_trial(trainer="nnUNetTrainerSlow", variables=variables)
    process = trial.start()
    assert process.wait(1500) == 0, trial.output
    trial.end_processes()
    said(**check(trial, slurm))
    assert n_jobs(trial) >= 3


def test_a_supervisor_that_is_killed(trial: Trial, slurm: RealSlurm, said: Callable[..., None]) -> None:
    process = trial.start()
    trial.wait_for(lambda: len(trial.epochs) >= 2, seconds=400)
    process.kill()
    process.wait()
    (job,) = slurm.jobs()
    # Nothing else may touch it meanwhile.
    trial.variables[RETRAIN_VARIABLE] = "1"
    refused = trial.start()
    assert refused.wait(240) == ExitCode.OWNED, trial.output
    assert f"is being trained by Slurm's job {job}, and is to be trained anew. Nothing is moved" in trial.output
    del trial.variables[RETRAIN_VARIABLE]
    assert slurm.jobs() in ([job], [])
    assert trial.run() == 0, trial.output
    said(**check(trial, slurm))
    assert n_jobs(trial) == 1


def test_two_supervisors(trial: Trial, slurm: RealSlurm, said: Callable[..., None]) -> None:
    first = trial.start()
    trial.wait_for(slurm.jobs)
    second = trial.start()
    assert second.wait(240) == ExitCode.OWNED, trial.output
    assert trial.wait(first) == 0, trial.output
    said(**check(trial, slurm))
    assert n_jobs(trial) == 1


def test_a_node_that_is_set_down(trial: Trial, slurm: RealSlurm, said: Callable[..., None]) -> None:
    process = trial.start()
    trial.wait_for(lambda: (n_saved_epochs(trial.fold_folder()) or 0) >= 2, seconds=400)
    (node,) = slurm.call("squeue", "--noheader", "--format=%N").split()
    slurm.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        assert trial.wait(process) == 0, trial.output
    finally:
        slurm.resume(node)
    said(**check(trial, slurm))
    assert n_jobs(trial) == 2
