"""Real trainings on a real Ray of two nodes: whatever ends a task or who supervises it, each epoch is trained once.

    pytest -m faults nnunet_assets_tests/faults/test_ray_kills.py

Skipped where Ray is not installed. What needs no training is in `engines/ray_cluster/test_real_ray.py`.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import n_saved_epochs
from nnunet_assets.engines.job_files import open_record
from nnunet_assets_tests.engines.real_ray import RealRay, lack, real_ray
from nnunet_assets_tests.faults.one_fold import RAY_VARIABLE
from nnunet_assets_tests.faults.trials import Trial, check_finished
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200), *MLFLOW_WARNINGS]


@pytest.fixture(scope="module")
def ray() -> Iterator[RealRay]:
    if reason := lack():
        pytest.skip(reason)
    with real_ray() as found:
        yield found


@pytest.fixture
def trial(make_trial: Callable[..., Trial], ray: RealRay) -> Trial:
    return make_trial(variables={**ray.variables, RAY_VARIABLE: json.dumps({"gpus": 0.5})})


def check(trial: Trial) -> dict[str, Any]:
    """The check after every trial, and that no task is left; returns figures for the report."""
    figures = check_finished(trial)
    assert figures["epochs sent twice"] == 0
    assert open_record(trial.fold_folder()) is None
    manifest = read_committed(trial.fold_folder())
    assert manifest
    job = manifest.details["job"]
    assert (job["engine"], job["requested"]["gpus"]) == ("ray", 0.5)
    return {"tasks": len(list((trial.fold_folder() / ".nnunet_assets" / "jobs").iterdir())), **figures}


def wait_until_gone(trial: Trial, seconds: float = 30) -> float:
    """Waits until no process of the trial is left; returns how long that took."""
    began = time.monotonic()
    while [one for one in trial.processes() if one.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() - began < seconds, trial.output
        time.sleep(0.1)
    return time.monotonic() - began


def test_what_ray_adds_to_a_fold_that_nothing_happens_to(
    make_trial: Callable[..., Trial], trial: Trial, ray: RealRay, said: Callable[..., None]
) -> None:
    here = make_trial(name="here")
    process, began = here.start(), time.monotonic()
    here.wait_for(lambda: here.epochs, seconds=400)
    first_here = time.monotonic() - began
    here.wait_for(lambda: read_committed(here.fold_folder()), seconds=400)
    committed = time.monotonic()
    assert here.wait(process) == 0, here.output
    ended_here = time.monotonic() - committed
    process, began = trial.start(), time.monotonic()
    own = trial.fold_folder() / ".nnunet_assets"
    trial.wait_for(lambda: list(own.glob("jobs/*/ray.json")))
    connected = time.monotonic() - began
    trial.wait_for(lambda: list(own.glob("jobs/*/started.json")), seconds=400)
    started = time.monotonic() - began
    of_ray = [one for one in trial.processes() if "nnunet_assets.engines.ray_cluster.forker" in one.cmdline()]
    (driver,) = [one for one in of_ray if one.ppid() in [other.pid for other in of_ray]]
    trial.wait_for(lambda: trial.epochs, seconds=400)
    first = time.monotonic() - began
    cpu, at = driver.cpu_times(), time.monotonic()
    memory, n_threads = driver.memory_full_info(), driver.num_threads()
    supervisor_cpu = psutil.Process(process.pid).cpu_times()
    trial.wait_for(lambda: len(trial.epochs) >= 5, seconds=400)
    seconds = time.monotonic() - at
    driver_share = sum(driver.cpu_times()[:2]) - sum(cpu[:2])
    supervisor_share = sum(psutil.Process(process.pid).cpu_times()[:2]) - sum(supervisor_cpu[:2])
    trial.wait_for(lambda: read_committed(trial.fold_folder()), seconds=400)
    committed = time.monotonic()
    assert trial.wait(process) == 0, trial.output
    ended = time.monotonic() - committed
    said(
        connected_after=f"{connected:.1f} s",
        started_after=f"{started:.1f} s",
        first_epoch_after=f"{first:.1f} s (here {first_here:.1f} s)",
        ended_after_commit=f"{ended:.1f} s (here {ended_here:.1f} s)",
        driver=f"{memory.rss / 1e6:.0f} MB resident, {memory.uss / 1e6:.0f} MB of its own, {n_threads} threads, "
        f"{driver_share / seconds:.1%} of a processor (supervisor {supervisor_share / seconds:.1%})",
        **check(trial),
    )


def test_a_run_that_is_ended_and_resumed(trial: Trial, said: Callable[..., None]) -> None:
    process = trial.start()
    trial.wait_for(lambda: (n_saved_epochs(trial.fold_folder()) or 0) >= 2, seconds=400)
    process.send_signal(signal.SIGINT)  # what a termination in Dagster sends
    began = time.monotonic()
    assert process.wait(60) != 0
    ended = time.monotonic() - began
    wait_until_gone(trial, 1)
    assert trial.run() == 0, trial.output
    said(ended_after=f"{ended:.1f} s", **check(trial))


def test_a_supervisor_that_is_killed(trial: Trial, said: Callable[..., None]) -> None:
    process = trial.start()
    trial.wait_for(lambda: (n_saved_epochs(trial.fold_folder()) or 0) >= 2, seconds=400)
    process.kill()
    process.wait()
    gone = wait_until_gone(trial)
    assert trial.run() == 0, trial.output
    said(gone_after=f"{gone:.1f} s", **check(trial))


def test_a_node_that_is_lost(trial: Trial, ray: RealRay, said: Callable[..., None]) -> None:
    process = trial.start()
    trial.wait_for(lambda: (n_saved_epochs(trial.fold_folder()) or 0) >= 2, seconds=400)
    (trainer,) = trial.trainers()
    ray.add_node("n2")  # for what comes then
    ray.kill_node("n1")
    began = time.monotonic()
    trainer.wait(60)
    gone = time.monotonic() - began
    assert process.wait(600) == 0, trial.output
    trial.end_processes()
    said(gone_after=f"{gone:.1f} s", **check(trial))
