"""What a job settles on the machine that its cluster chose; that it runs is in `slurm_cluster/test_real_slurm.py`."""

import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines import job_process
from nnunet_assets.engines.job_files import JobRecord, JobTask, write_for_job, write_record
from nnunet_assets.engines.job_process import machine_variables
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.machine.fold_samples import SYSTEM_MEMORY, SystemSampler, system_path
from nnunet_assets_tests.engines.test_local import work
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.tiny_request import with_modules_of

WAITING_CHILD = """
import os, time
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.processes.child import child_main

def wait(attempt):
    (attempt.own_folder / "child").write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    child_main(FoldAttempt, wait)
"""


def task(folder: Path, **changes: Any) -> JobTask:
    attempt = replace(work(folder).attempt, own_folder=folder / "fold_0" / ".nnunet_assets" / "jobs" / "abc")
    made = JobTask("slurm", "waiting_child", attempt, 0, time.time(), folder / "fold_0.job.lock", Resources())
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("variables", "n_gpus", "workers"),
    [
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_CPUS_ON_NODE": "64"}, 1, ("4", "7")),
        ({"SLURM_CPUS_ON_NODE": "8"}, 2, ("2", "3")),
        ({}, 1, ("8", "12")),
        ({"SLURM_CPUS_PER_TASK": "1"}, 1, ("1", "1")),
        ({"SLURM_CPUS_PER_TASK": "8", "nnUNet_n_proc_DA": "3"}, 1, ("4", "3")),
    ],
)
def test_the_numbers_of_workers_are_those_of_what_the_job_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], n_gpus: int, workers: tuple[str, str]
) -> None:
    monkeypatch.setattr(job_process, "usable_cpus", lambda: 64)
    found = machine_variables(variables, task(tmp_path), n_gpus)
    assert (found["nnUNet_def_n_proc"], found["nnUNet_n_proc_DA"]) == workers
    assert "OMP_NUM_THREADS" not in found


def test_a_job_that_is_confined_to_fewer_processors_than_it_was_given_counts_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_process, "usable_cpus", lambda: 4)
    found = machine_variables({"SLURM_CPUS_PER_TASK": "8"}, task(tmp_path, resources=Resources(gpus=0)), 1)
    assert (found["nnUNet_n_proc_DA"], found["OMP_NUM_THREADS"]) == ("3", "4")


def test_the_curves_of_the_machine_are_those_of_the_node_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = task(tmp_path)
    folder, fold = asked.attempt.own_folder, asked.attempt.fold_folder
    assert folder
    folder.mkdir(parents=True)
    write_for_job(folder / "task.json", asked)
    write_record(folder.parents[1], JobRecord("slurm", "abc", "1", "digest", None, 0.0))

    def held() -> float:
        """Returns the most memory that a sample has, in bytes."""
        return max((one.values[SYSTEM_MEMORY] for one in read_records(system_path(fold))), default=0)

    def child_of_job(*_: object, **__: object) -> ChildResult:
        with subprocess.Popen([sys.executable, "-c", "held = b'x' * 50_000_000\nwhile True: pass"]) as child:
            append_record(journal_path(fold), "start", {})
            until = time.monotonic() + 30
            while held() < 50_000_000:
                assert time.monotonic() < until
                time.sleep(0.02)
            child.kill()
        return ChildResult(0, None, "")

    monkeypatch.setattr(job_process, "run_child", child_of_job)
    monkeypatch.setattr(job_process, "SystemSampler", partial(SystemSampler, seconds=0.05))
    assert job_process._run(folder).code == 0
    assert held() < 1_000_000_000


@pytest.mark.faults
def test_a_job_that_is_killed_frees_the_fold_when_nothing_of_it_lives_and_one_that_is_ended_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "waiting_child.py").write_text(WAITING_CHILD)
    asked = task(tmp_path)
    folder = asked.attempt.own_folder
    assert folder
    folder.mkdir(parents=True)
    write_for_job(folder / "task.json", asked)
    write_record(folder.parents[1], JobRecord("slurm", "abc", "1", "digest", None, 0.0))

    def start() -> "subprocess.Popen[bytes]":
        (folder / "child").unlink(missing_ok=True)
        job = subprocess.Popen(
            [sys.executable, "-m", "nnunet_assets.engines.job_process", str(folder)], env=with_modules_of(tmp_path)
        )
        until = time.monotonic() + 60
        while not (folder / "child").exists():
            assert time.monotonic() < until
            assert job.poll() is None
            time.sleep(0.05)
        return job

    job = start()
    child = int((folder / "child").read_text())
    assert is_owned(asked.lock)
    job.kill()
    job.wait()
    assert living([child]) == []
    # Threads of a process may end a moment after the first of them.
    until = time.monotonic() + 5
    while is_owned(asked.lock):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not (folder / "ended.json").exists()

    job = start()
    job.terminate()
    assert job.wait(30) == 75
    assert living([int((folder / "child").read_text())]) == []
    assert load_json(folder / "ended.json")["code"] == 75
    assert not is_owned(asked.lock)
