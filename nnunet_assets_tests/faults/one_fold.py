"""One fold from its state on disk to its COMMIT, tracked: `python -m nnunet_assets_tests.faults.one_fold FOLD TRAINER`.

What the fold's asset does, in a process that may be killed and without Dagster's own seconds. Folders and tracking
server come from the environment, as for any project, and so does in how many processes it trains (`N_RANKS_VARIABLE`),
whether it keeps its probabilities (`NPZ_VARIABLE`), whether it begins anew (`RETRAIN_VARIABLE`), and what a job of
Slurm or a task of Ray gets where one trains it (`SLURM_VARIABLE`, `RAY_VARIABLE`).
It ends with the fold's exit code; a signal counts as 128 + n.
"""

import json
import os
import sys

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.job_engine import JobEngine
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.engines.named import EngineName, queue_named
from nnunet_assets.engines.patience import Patience
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.folds.followed_job import refuse_other_job
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import fold_tags
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.training_builders import DATASET

# Every second epoch is saved, so that a kill meets epochs before, in and after a save.
OVERRIDES = {"num_epochs": 6, "num_iterations_per_epoch": 2, "num_val_iterations_per_epoch": 1, "save_every": 2}

N_RANKS_VARIABLE = "NNUNET_ASSETS_TRIAL_RANKS"
NPZ_VARIABLE = "NNUNET_ASSETS_TRIAL_NPZ"
RETRAIN_VARIABLE = "NNUNET_ASSETS_TRIAL_RETRAIN"
SLURM_VARIABLE = "NNUNET_ASSETS_TRIAL_SLURM"
RAY_VARIABLE = "NNUNET_ASSETS_TRIAL_RAY"


def main(fold: str, trainer: str) -> int:
    """Trains what is missing and returns the exit code."""
    settings = Settings.from_environment()
    experiment = Experiment(DATASET, "3d_fullres", trainer=trainer, variant="faults")
    inputs = fold_inputs(dataset_of(settings.roots, experiment), experiment, fold, "the settings of the trials")
    n_ranks, npz = int(os.environ.get(N_RANKS_VARIABLE, "1")), NPZ_VARIABLE in os.environ
    options = TrainingOptions(num_gpus=n_ranks, npz=npz)
    request = FoldRequest(experiment, fold, OVERRIDES, "cpu", inputs, dagster_run_id=None, options=options)
    tracker = FoldTracker(
        Destination.of(settings),
        experiment_name=DATASET,
        fold_folder=experiment.fold_folder(settings.roots, fold),
        tags=fold_tags(experiment, fold, inputs),
        run_name=f"{experiment.name} {fold}",
        poll_seconds=0.2,
    )
    try:
        with fold_lease(experiment.place_of(settings.roots, fold)):
            engine, retrain = _engine(), RETRAIN_VARIABLE in os.environ
            refuse_other_job(request, settings.roots, engine, environment=os.environ, retrain=retrain)
            with tracker:
                run_fold(request, settings.roots, environment=os.environ, retrain=retrain, engine=engine)
    except FoldFailed as failure:
        print(failure, flush=True)
        return failure.code if failure.code >= 0 else 128 - failure.code
    return 0


def _engine() -> Engine:
    """Returns where the fold trains; a queue is asked more often than anywhere else."""
    engines: dict[EngineName, str] = {"slurm": SLURM_VARIABLE, "ray": RAY_VARIABLE}
    for name, variable in engines.items():
        if variable in os.environ:
            resources = Resources(cpus=4, memory_gb=1.0, **json.loads(os.environ[variable]))
            return JobEngine(queue_named(name, os.environ), resources, Patience(look=5.0, running_look=5.0))
    return LOCAL


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
