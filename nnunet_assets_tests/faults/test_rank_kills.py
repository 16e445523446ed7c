"""One of the processes that train a fold together is killed: the fold goes on, each epoch tracked once."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_assets_tests.faults.one_fold import N_RANKS_VARIABLE
from nnunet_assets_tests.faults.trials import Trial, resume_and_check
from nnunet_assets_tests.rank_builders import TRAINER, cpu_ranks_in, ranks_below
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

SEED = os.environ.get("NNUNET_ASSETS_FAULT_SEED", "0")


@pytest.mark.parametrize("number", [0, 1])
def test_a_rank_that_is_killed_costs_no_more_than_the_epochs_since_the_last_checkpoint(
    make_trial: Callable[..., Trial], tmp_path: Path, said: Callable[..., None], number: int
) -> None:
    trial = make_trial(trainer=TRAINER, variables={N_RANKS_VARIABLE: "2", **cpu_ranks_in(tmp_path / "trainers")})
    process = trial.start()
    n_epochs = random.Random(f"{SEED} {number}").randint(1, 5)
    trial.wait_for(lambda: len(trial.epochs) >= n_epochs, seconds=400)
    (trainer,) = trial.trainers()
    ranks_below(trainer)[number].kill()
    # Its supervisor starts the fold's process again at once, in the same run.
    assert trial.wait(process) == 0, trial.output
    assert f"Rank {number} of 2 was killed (SIGKILL)" in trial.output
    assert trial.survivors == []
    said(killed=f"rank {number} after epoch {n_epochs}", **resume_and_check(trial))
