"""What Slurm's commands say, read; they are scripts here, and real ones in `test_real_slurm.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_queue import JobOrder, QueueSilentError
from nnunet_assets.engines.slurm_cluster import queue as slurm_queue
from nnunet_assets.engines.slurm_cluster.queue import SlurmQueue


def slurm_that_says(folder: Path, **programs: str) -> SlurmQueue:
    """Returns a queue whose commands are these scripts; the others are not there."""
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return SlurmQueue({"PATH": str(folder)})


DOWN = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
LOST = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"


@pytest.mark.parametrize("ask", [lambda q: q.look("1"), lambda q: q.find("x"), lambda q: q.cancel("1")])
def test_a_controller_that_is_down_says_nothing_of_a_job(tmp_path: Path, ask: Callable[[SlurmQueue], Any]) -> None:
    queue = slurm_that_says(tmp_path, squeue=DOWN, scancel=DOWN, scontrol=DOWN)
    with pytest.raises(QueueSilentError, match="Unable to contact slurm controller"):
        ask(queue)


def test_a_submission_whose_answer_was_lost_is_found_by_its_name(tmp_path: Path) -> None:
    order = JobOrder("nnunet_assets-x", tmp_path, Resources())
    assert slurm_that_says(tmp_path, sbatch=LOST, squeue="echo 12").submit(order) == "12"
    with pytest.raises(QueueSilentError, match="Socket timed out"):
        slurm_that_says(tmp_path, sbatch=LOST, squeue="exit 0").submit(order)


def test_a_submission_that_is_taken_after_its_command_was_given_up_is_found_or_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_queue, "COMMAND_SECONDS", 0.5)
    order = JobOrder("nnunet_assets-x", tmp_path, Resources())
    queue = slurm_that_says(
        tmp_path,
        # The first one is slow, and the controller takes it when its command is gone.
        sbatch=f"cd {tmp_path}; if [ -e slow ]; then echo 13; else : > slow; exec /bin/sleep 5; fi",
        squeue=f'echo "$*" >> {tmp_path}/asked; /bin/cat {tmp_path}/queue',
        scancel=f"echo $1 >> {tmp_path}/ended",
    )
    (tmp_path / "queue").touch()
    with pytest.raises(QueueSilentError, match="sbatch did not end within"):
        queue.submit(order)
    monkeypatch.undo()
    assert queue.find(order.name) is None
    assert queue.submit(order) == "13"
    (tmp_path / "queue").write_text("13\n12\n")
    queue.cancel_others(order.name, "13")
    assert (tmp_path / "ended").read_text() == "12\n"
    assert (tmp_path / "asked").read_text().splitlines()[-1].split()[1:3] == [
        "--states=PENDING",
        "--name=nnunet_assets-x",
    ]


def test_a_job_that_nothing_is_printed_of_is_asked_for_elsewhere(tmp_path: Path) -> None:
    unknown = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    programs = {"squeue": "exit 0", "scontrol": unknown}
    assert slurm_that_says(tmp_path, **programs).look("7").state == "GONE"
    found = slurm_that_says(tmp_path, **programs, sacct="echo 'TIMEOUT|0:0|n1'").look("7")
    assert (found.state, found.node) == ("TIMEOUT", "n1")


def test_of_its_own_variables_slurm_gets_the_place_of_its_configuration_alone(tmp_path: Path) -> None:
    queue = SlurmQueue({"PATH": str(tmp_path), "SLURM_CONF": "/etc/x", "SLURM_JOB_ID": "3", "SBATCH_ARRAY_INX": "1-9"})
    (tmp_path / "squeue").write_text('#!/bin/sh\necho "$SLURM_CONF,$SLURM_JOB_ID,$SBATCH_ARRAY_INX"\n')
    (tmp_path / "squeue").chmod(0o755)
    assert queue.find("x") == "/etc/x,,"
