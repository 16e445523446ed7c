"""Real nnU-Net trainings of a phantom whose processes are killed and paused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import fold_processes

pytestmark = pytest.mark.faults

WHOLE = Counter([("start", None), ("epoch", 0), ("epoch", 1), ("epoch", 2), ("end", None)])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_phantom: Any) -> Any:
    """A phantom of 6 cases in 2 folds, prepared. Two augmentation workers can be halved."""
    environment = {**os.environ, "nnUNet_n_proc_DA": "2", "nnUNet_def_n_proc": "2"}
    return prepared_phantom.copy_to(tmp_path_factory.mktemp("faults"), environment=environment)


def records_of(project: Any, fold: Any) -> Any:
    return Counter((record.kind, record.epoch) for record in read_records(journal_path(project.folder(fold))))


def test_an_augmentation_worker_that_is_killed_costs_a_restart_with_half_the_workers(project: Any) -> None:
    # The validation has no workers that could be killed: it exports in threads.
    fold = "fold_0"
    killed: list[int] = []

    def kill_a_worker() -> None:
        for trainer in fold_processes() if not killed and ("epoch", 0) in records_of(project, fold) else []:
            for worker in trainer.children()[:1]:
                killed.append(worker.pid)
                worker.kill()

    said: list[str] = []
    assert project.train(fold, progress=RecordedProgress(said.append, on_poll=kill_a_worker)).is_new
    assert len(killed) == 1
    (sentence,) = said
    assert f"process {killed[0]}) was killed by signal 9" in sentence or "A worker process was killed" in sentence
    assert "again with half the worker processes" in sentence
    assert records_of(project, fold) == WHOLE
    own = project.folder(fold) / ".nnunet_assets"
    (restart,) = [json.loads(line) for line in (own / "restarts.jsonl").read_text().splitlines()]
    assert (restart["failure"], restart["exit_code"]) == ("out_of_memory", 80)
    assert read_committed(project.folder(fold), check_files=True) is not None


OWNER = """
import sys
from pathlib import Path
from nnunet_assets_tests.training_builders import PhantomProject, roots_in
PhantomProject(roots_in(Path(sys.argv[1]))).train("fold_1", retrain=True)
"""


def start_owner(project: Any) -> Any:
    """Starts a process that trains fold_1; returns it and the ids of its trainer and the trainer's workers."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, project.roots.raw.parent],
        env={**project.environment, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    deadline = time.monotonic() + 120
    while ("epoch", 0) not in records_of(project, "fold_1"):
        assert owner.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return owner, [process.pid for process in psutil.Process(owner.pid).children(recursive=True)]


def test_a_paused_owner_keeps_the_fold_and_a_killed_one_takes_its_trainer_along(project: Any) -> None:
    owner, group = start_owner(project)
    try:
        owner.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 120
        while ("epoch", 1) not in records_of(project, "fold_1"):
            assert time.monotonic() < deadline, "its trainer stopped with it"
            time.sleep(0.1)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert len(group) > 1
        assert living(group, within_seconds=10) == []
    finally:
        owner.kill()
    before = json.loads((project.folder("fold_1") / ".nnunet_assets" / "request.json").read_text())["attempt"]
    manifest = project.train("fold_1").manifest
    assert manifest.details["attempt"] == before
    assert records_of(project, "fold_1") == WHOLE
