"""Folds on a real Slurm, with a process that trains nothing: what controller, daemons and jobs make of them.

The same with real trainings, and MLflow, in `faults/test_slurm_kills.py`.
"""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.fold.journal import read_records
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_files import open_record
from nnunet_assets.engines.job_queue import JobOrder, QueueRefusedError
from nnunet_assets.engines.slurm_cluster import queue as slurm_queue
from nnunet_assets.engines.slurm_cluster.queue import SlurmQueue
from nnunet_assets.nnunet.folds import fold_child
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.machine.fold_samples import SYSTEM_MEMORY, system_path
from nnunet_assets_tests.engines import stub_fold
from nnunet_assets_tests.engines.one_supervisor import supervise
from nnunet_assets_tests.engines.real_slurm import RealSlurm
from nnunet_assets_tests.engines.supervised import Supervised as SupervisedFold
from nnunet_assets_tests.prepared_builders import write_prepared
from nnunet_assets_tests.tiny_request import with_modules_of


class Supervised(SupervisedFold):
    """A fold in a folder of its own, and those who supervise it on the nodes of a Slurm."""

    def __init__(self, folder: Path, slurm: RealSlurm) -> None:
        super().__init__(folder, slurm.variables)
        self.slurm = slurm

    def check_finished(self, n_epochs: int = 4) -> dict[str, Any]:
        """Checks that no job is left either."""
        self.slurm.wait_until_idle()
        return super().check_finished(n_epochs)


@pytest.fixture
def fold(tmp_path: Path, slurm: RealSlurm) -> Supervised:
    return Supervised(tmp_path, slurm)


def test_a_fold_is_trained_in_a_job_on_the_gpu_that_it_is_given(fold: Supervised) -> None:
    assert fold.run() == 0, fold.said
    job = fold.check_finished()
    assert job["node"] in ("n1", "n2")
    assert job["requested"] == {"gpus": 1, "cpus": 4, "memory_gb": 1.0, "time_limit_minutes": 10}
    printed = (fold.place.own / "output.log").read_text()
    # Four processors were given, and this machine may have fewer.
    assert f"GPUs 0, workers {max(1, min(4, len(os.sched_getaffinity(0))) - 1)}\n" in printed
    assert f"runs on {job['node']}, after" in fold.said


# --- slower, or more of the same ----------------------------------------------------------------------------------


@pytest.mark.faults
def test_a_secret_of_the_supervisors_environment_shows_nowhere(
    fold: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2-" + "x" * 40
    monkeypatch.setenv("NNUNET_ASSETS_TRIAL_PASSWORD", secret)
    process = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: fold.epochs)
    (job_id,) = fold.slurm.jobs()
    (folder,) = (fold.place.own / "jobs").iterdir()
    environment = folder / "environment.sh"
    assert secret in environment.read_text()
    assert [oct(one.stat().st_mode & 0o777) for one in (environment, folder, folder.parent)] == [
        "0o600",
        "0o700",
        "0o700",
    ]
    shown = {
        "scontrol": fold.slurm.call("scontrol", "--details", "show", "job", job_id),
        "script": fold.slurm.call("scontrol", "write", "batch_script", job_id, "-"),
        "squeue": fold.slurm.call("squeue", "--format=%all"),
        "ps": "\n".join(" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])),
    }
    assert f"JobId={job_id}" in shown["scontrol"]
    assert "nnunet_assets.engines.job_process" in shown["script"]
    assert str(folder) in shown["ps"]
    assert [name for name, text in shown.items() if secret in text] == []
    assert process.wait(120) == 0, fold.said
    fold.check_finished()
    left = [file for file in fold.folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    assert left == []


@pytest.mark.faults
def test_a_job_that_is_cancelled_goes_on_in_another(fold: Supervised) -> None:
    process = fold.start(epoch_seconds=1.0)
    fold.wait_for(lambda: len(fold.epochs) == 2)
    fold.slurm.call("scancel", *fold.slurm.jobs())
    assert process.wait(120) == 0, fold.said
    fold.check_finished()
    assert fold.n_jobs == 2
    assert "started again in a new job" in fold.said


@pytest.mark.faults
def test_a_time_limit_cuts_a_fold_as_often_as_it_has_to(fold: Supervised) -> None:
    # A minute is the shortest limit; Slurm warns 15 s before it, or up to a minute earlier.
    assert fold.start(epoch_seconds=20.0, n_epochs=5, time_limit_minutes=1).wait(600) == 0, fold.said
    fold.check_finished(5)
    assert fold.n_jobs >= 3
    assert "The time of the job is nearly over." in fold.said
    # The node's curves, one job after the other.
    samples = list(read_records(system_path(fold.place.folder)))
    assert [one.epoch for one in samples] == list(range(len(samples)))
    assert len(samples) >= 3
    assert all(one.values[SYSTEM_MEMORY] > 10_000_000 for one in samples)


@pytest.mark.faults
@pytest.mark.parametrize("moment", ["in the queue", "in training"])
def test_a_supervisor_that_is_killed_leaves_a_job_that_the_next_one_follows(fold: Supervised, moment: str) -> None:
    if moment == "in the queue":
        for node in ("n1", "n2"):
            fold.slurm.call("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    try:
        process = fold.start(epoch_seconds=10.0)
        fold.wait_for(lambda: fold.epochs if moment == "in training" else "PENDING (" in fold.said)
        process.kill()
        process.wait()
        assert len(fold.slurm.jobs()) == 1
        assert fold.run(retrain=True) == ExitCode.OWNED, fold.said
        assert "and is to be trained anew. Nothing is moved or trained beside it" in fold.said
        assert fold.run(n_epochs=5) == ExitCode.OWNED, fold.said
        process = fold.start(epoch_seconds=2.0)
        fold.wait_for(lambda: "which an earlier run submitted, goes on" in fold.said)
    finally:
        for node in ("n1", "n2"):
            if moment == "in the queue":
                fold.slurm.resume(node)
    assert process.wait(120) == 0, fold.said
    fold.check_finished()
    assert fold.n_jobs == 1


@pytest.mark.faults
def test_a_second_supervisor_is_told_of_the_first_and_nothing_is_trained_twice(fold: Supervised) -> None:
    first = fold.start(epoch_seconds=1.0)
    fold.wait_for(fold.slurm.jobs)
    assert fold.run() == ExitCode.OWNED
    assert "is being trained by another process" in fold.said
    assert first.wait(120) == 0, fold.said
    fold.check_finished()
    assert fold.n_jobs == 1


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_ends_its_job(fold: Supervised, number: signal.Signals) -> None:
    process = fold.start(epoch_seconds=1.0)
    fold.wait_for(lambda: len(fold.epochs) == 1)
    began = time.monotonic()
    process.send_signal(number)
    process.wait(60)
    assert time.monotonic() - began < 30
    assert fold.slurm.jobs() == []
    assert open_record(fold.place.folder) is None
    assert fold.run() == 0, fold.said
    fold.check_finished()


@pytest.mark.faults
def test_a_node_that_is_lost_costs_the_epochs_since_the_last_checkpoint(fold: Supervised) -> None:
    process = fold.start(epoch_seconds=2.0)
    fold.wait_for(lambda: len(fold.epochs) == 2)
    (node,) = fold.slurm.call("squeue", "--noheader", "--format=%N").split()
    fold.slurm.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        assert process.wait(120) == 0, fold.said
    finally:
        fold.slurm.resume(node)
    fold.check_finished()
    assert fold.n_jobs == 2


@pytest.mark.faults
def test_folds_that_find_no_free_gpu_wait_and_say_so(fold: Supervised) -> None:
    fillers = [
        fold.slurm.call("sbatch", "--parsable", "--gres=gpu:2", "--time=5", "--output=/dev/null", "--wrap=sleep 300")
        for _ in range(2)
    ]
    process = fold.start()
    fold.wait_for(lambda: "PENDING (Resources, place 1 of 1 that wait)" in fold.said)
    fold.slurm.call("scancel", *(job.strip() for job in fillers))
    assert process.wait(120) == 0, fold.said
    fold.check_finished()


@pytest.mark.faults
def test_what_slurm_refuses_is_told_in_its_words(slurm: RealSlurm, tmp_path: Path) -> None:
    queue = SlurmQueue({**os.environ, **slurm.variables})
    with pytest.raises(QueueRefusedError, match="invalid partition specified: nope"):
        queue.submit(JobOrder("nnunet_assets-x", tmp_path, Resources(partition="nope")))
    assert queue.find("nnunet_assets-x") is None
    # A job that is held is taken whatever it asks for.
    for asked, reason in ((Resources(gpus=9), "BadConstraints"), (Resources(cpus=99), "PartitionConfig")):
        job_id = queue.submit(JobOrder("nnunet_assets-x", tmp_path, asked))
        assert queue.look(job_id).reason == "JobHeldUser"
        queue.release(job_id)
        until = time.monotonic() + 30
        while queue.look(job_id).reason != reason:
            assert time.monotonic() < until, queue.look(job_id)
            time.sleep(0.2)
        queue.cancel(job_id)
    assert queue.look("4294967").state == "GONE"
    queue.cancel("4294967")


@pytest.mark.faults
def test_a_late_duplicate_of_a_job_is_ended_and_the_fold_trained_once(
    slurm: RealSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, place = shutil.which("sbatch", path=slurm.variables["PATH"]), tmp_path / "slow"
    place.mkdir()
    # Given up after some seconds, and taken all the same, after the second one.
    (place / "sbatch").write_text(
        f'#!/bin/bash\nif [ -e {place}/called ]; then exec {real} "$@"; fi\ntouch {place}/called\n'
        f'(sleep 9; {real} "$@") > {place}/late 2>&1 < /dev/null &\nexec sleep 60\n'
    )
    (place / "sbatch").chmod(0o755)
    monkeypatch.setattr(slurm_queue, "COMMAND_SECONDS", 5.0)
    write_prepared(tmp_path / "fold")
    for name, value in {**slurm.variables, "PATH": f"{place}:{slurm.variables['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", with_modules_of(tmp_path / "fold")["PYTHONPATH"])
    monkeypatch.setenv(stub_fold.EPOCH_SECONDS, "4")
    monkeypatch.setattr(fold_child, "FOLD_MODULE", stub_fold.MODULE)

    supervise(tmp_path / "fold")

    late = (place / "late").read_text().strip()
    assert late.isdecimal()
    assert slurm.call("squeue", "--noheader", "--states=all", f"--jobs={late}", "--format=%T").strip() == "CANCELLED"
    assert slurm.jobs() == []
