"""A fold's process that trains nothing: `python -m nnunet_assets_tests.engines.stub_fold FOLDER PARENT_PID`.

It leaves what the real one leaves (see `fakes.fold_child`), an epoch in so many seconds as `EPOCH_SECONDS` says, and
heeds what the real one heeds: signals, and a job whose time is nearly over.
"""

import os
import time
from pathlib import Path

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.processes.child import LEAVE_FILE, ChildFailure, child_main
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.variables import AUGMENTATION, FOLDERS
from nnunet_assets_tests.fakes.fold_child import played_fold

MODULE = "nnunet_assets_tests.engines.stub_fold"
EPOCH_SECONDS = "NNUNET_ASSETS_STUB_EPOCH_SECONDS"


def train(attempt: FoldAttempt) -> None:
    seconds = float(os.environ.get(EPOCH_SECONDS, "0"))
    folder = attempt.own_folder or attempt.fold_folder / OWN_FOLDER
    print(f"GPUs {os.environ.get('CUDA_VISIBLE_DEVICES')}, workers {os.environ[AUGMENTATION]}", flush=True)

    def on_epoch() -> None:
        time.sleep(seconds)
        if (folder / LEAVE_FILE).exists():
            raise ChildFailure(ExitCode.STOPPED, "The time of the job is nearly over.")

    print(*played_fold(attempt, Path(os.environ[FOLDERS[1]]), on_epoch), sep="\n", flush=True)


if __name__ == "__main__":
    child_main(FoldAttempt, train)
