"""A fold that a process of its own supervises on Slurm: `python -m nnunet_assets_tests.engines.one_supervisor FOLDER`.

It prints what a person is told, and ends with the fold's exit code. What it trains with is the stub.
"""

import json
import os
import signal
import sys
from pathlib import Path

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_engine import JobEngine
from nnunet_assets.engines.patience import Patience
from nnunet_assets.engines.slurm import SlurmQueue
from nnunet_assets.nnunet.folds import fold_child
from nnunet_assets.nnunet.folds.fold import FoldOutcome, run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.engines import stub_fold
from nnunet_assets_tests.prepared_builders import DATASET, dataset_of
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import roots_in

EXPERIMENT = Experiment(DATASET, "3d_fullres", variant="short")
OPTIONS = "NNUNET_ASSETS_ONE_SUPERVISOR"
"""JSON: `n_epochs`, `time_limit_minutes`, `retrain`."""


def supervise(folder: Path, *, n_epochs: int = 4, time_limit_minutes: int = 10, retrain: bool = False) -> FoldOutcome:
    """Brings fold_0 of the prepared dataset in a folder to its COMMIT, and prints what a person is told."""
    roots = roots_in(folder)
    inputs = fold_inputs(dataset_of(roots, EXPERIMENT), EXPERIMENT, "fold_0", "settings")
    request = FoldRequest(EXPERIMENT, "fold_0", {"num_epochs": n_epochs}, "cpu", inputs, None)
    resources = Resources(gpus=1, cpus=4, memory_gb=1, time_limit_minutes=time_limit_minutes)
    engine = JobEngine(SlurmQueue(os.environ), resources, Patience(look=3.0))
    progress = RecordedProgress(lambda sentence: print(sentence, flush=True))
    fold_child.FOLD_MODULE = stub_fold.MODULE
    return run_fold(request, roots, environment=os.environ, engine=engine, retrain=retrain, progress=progress)


def main(folder: Path) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line does
    try:
        supervise(folder, **json.loads(os.environ.get(OPTIONS, "{}")))
    except FoldFailed as failure:
        print(failure, flush=True)
        return failure.code if failure.code >= 0 else 128 - failure.code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
