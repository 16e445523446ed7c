"""A fold on a cluster that a process supervises: `python -m nnunet_assets_tests.engines.one_supervisor FOLDER`.

It prints what a person is told, and ends with the fold's exit code. What it trains with is the stub.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_engine import JobEngine
from nnunet_assets.engines.named import EngineName, queue_named
from nnunet_assets.engines.patience import Patience
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
"""JSON: what `supervise` takes."""


def supervise(
    folder: Path,
    *,
    n_epochs: int = 4,
    time_limit_minutes: int = 10,
    retrain: bool = False,
    engine: EngineName = "slurm",
    gpus: float = 1,
    custom_resources: Mapping[str, float] = MappingProxyType({}),
    fold: str = "fold_0",
) -> FoldOutcome:
    """Brings a fold of the prepared dataset in a folder to its COMMIT, and prints what a person is told."""
    roots = roots_in(folder)
    inputs = fold_inputs(dataset_of(roots, EXPERIMENT), EXPERIMENT, fold, "settings")
    request = FoldRequest(EXPERIMENT, fold, {"num_epochs": n_epochs}, "cpu", inputs, None)
    resources = Resources(
        gpus=gpus, cpus=4, memory_gb=0.5 if engine == "ray" else 1, custom_resources=dict(custom_resources)
    )
    if engine == "slurm":
        resources = replace(resources, time_limit_minutes=time_limit_minutes)
    on = JobEngine(queue_named(engine, os.environ), resources, Patience(look=3.0, running_look=3.0))
    progress = RecordedProgress(lambda sentence: print(sentence, flush=True))
    fold_child.FOLD_MODULE = stub_fold.MODULE
    return run_fold(request, roots, environment=os.environ, engine=on, retrain=retrain, progress=progress)


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
