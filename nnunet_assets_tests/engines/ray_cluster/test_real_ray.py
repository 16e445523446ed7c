"""Folds on a real Ray of two nodes, with a process that trains nothing: what head, raylets and workers make of them.

    pytest -m faults nnunet_assets_tests/engines/ray_cluster/test_real_ray.py

Skipped where Ray is not installed. With real trainings, and MLflow: `faults/test_ray_kills.py`.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from nnunet_assets.engines.job_files import open_record
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.engines.real_ray import RealRay, lack, real_ray
from nnunet_assets_tests.engines.supervised import Supervised

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

FORKER, JOB, FOLD = "ray_cluster.forker", "engines.job_process", "engines.stub_fold"

OTHER_VERSION = """
import json, sys, ray
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
own, ray.__version__ = ray.__version__, sys.argv[2] or ray.__version__
ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
found = json.loads(_internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster"))
found["ray_version"] = sys.argv[3] or own
_internal_kv_put(b"CLUSTER_METADATA", json.dumps(found).encode(), overwrite=True, namespace=b"cluster")
"""
"""Makes a cluster that one version of Ray started one of another; empty: of the version that is installed."""


@pytest.fixture(scope="module")
def ray() -> Iterator[RealRay]:
    if reason := lack():
        pytest.skip(reason)
    with real_ray() as found:
        yield found


@pytest.fixture
def fold(tmp_path: Path, ray: RealRay) -> Iterator[Supervised]:
    found = Supervised(tmp_path, ray.variables, engine="ray")
    yield found
    found.end()


def drivers_of(fold: Supervised) -> list[psutil.Process]:
    """Returns the processes that were forked, without the one that forks."""
    found = fold.processes(FORKER)
    return [one for one in found if one.ppid() in [other.pid for other in found]]


def test_a_fold_is_trained_in_a_task_and_nothing_of_it_is_left(fold: Supervised) -> None:
    assert fold.run() == 0, fold.said
    job = fold.check_finished()
    assert (job["engine"], job["requested"]) == ("ray", {"gpus": 1, "cpus": 4, "memory_gb": 0.5})
    assert job["task"].endswith(job["id"])
    printed = (fold.place.own / "output.log").read_text()
    assert f"workers {max(1, min(4, len(os.sched_getaffinity(0))) - 1)}\n" in printed
    assert any(f"GPUs {gpu}, " in printed for gpu in (0, 1))
    assert f"runs on {job['node']}, after" in fold.said
    # What Ray itself prints is in the job's folder, if anywhere.
    assert [
        line for line in fold.said.splitlines() if not line.startswith(("Ray has the job", "The job", "Epoch"))
    ] == []


def test_a_run_that_is_ended_in_the_queue_ends_at_once_and_leaves_nothing(fold: Supervised) -> None:
    process = fold.start(custom_resources={"moon": 1})
    fold.wait_for(lambda: "of the 2 nodes of the cluster has" in fold.said)
    assert "1 moon, even when idle" in fold.said
    assert "It may wait for ever" in fold.said
    process.terminate()
    began = time.monotonic()
    assert process.wait(30) != 0
    assert time.monotonic() - began < 8
    fold.wait_until_gone(1)
    assert open_record(fold.place.folder) is None
    assert fold.epochs == []
    assert fold.run() == 0, fold.said
    fold.check_finished()


def test_a_run_that_is_ended_in_training_ends_its_task_and_the_next_goes_on(fold: Supervised) -> None:
    process = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: len(fold.epochs) >= 2)
    process.terminate()
    assert process.wait(60) != 0
    fold.wait_until_gone(1)
    assert open_record(fold.place.folder) is None
    assert fold.run() == 0, fold.said
    fold.check_finished()
    assert fold.n_jobs == 2


@pytest.mark.parametrize("options", [{}, {"retrain": True}])
def test_a_supervisor_that_is_killed_takes_its_task_along_and_the_next_goes_on(
    fold: Supervised, options: dict[str, bool]
) -> None:
    process = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: len(fold.epochs) >= 2)
    process.kill()
    process.wait()
    # At once: what dies just now is waited for.
    assert fold.run(**options) == 0, fold.said
    fold.check_finished()


def test_nothing_outlives_a_supervisor_that_is_killed(fold: Supervised) -> None:
    process = fold.start(epoch_seconds=60.0)
    fold.wait_for(lambda: fold.processes(FOLD))
    process.kill()
    process.wait()
    assert fold.wait_until_gone(20) < 15


def test_a_driver_that_is_killed_costs_an_interruption(fold: Supervised) -> None:
    process = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: len(fold.epochs) >= 1)
    (driver,) = drivers_of(fold)
    loaded = {Path(one.path).name.partition(".")[0] for one in driver.memory_maps()}
    assert "_raylet" in loaded
    assert not loaded & {"libarrow", "_multiarray_umath"}
    driver.kill()
    assert process.wait(200) == 0, fold.said
    fold.check_finished()
    assert fold.n_jobs == 2


@pytest.mark.parametrize("what", [JOB, "default_worker.py", FOLD])
def test_a_process_on_the_node_that_is_killed_costs_an_interruption(fold: Supervised, ray: RealRay, what: str) -> None:
    process = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: len(fold.epochs) >= 1)
    (job,) = fold.processes(JOB)
    (psutil.Process(job.ppid()) if what == "default_worker.py" else fold.processes(what)[0]).kill()
    assert process.wait(200) == 0, fold.said
    fold.check_finished()
    assert fold.n_jobs == 2


def test_two_supervisors_train_a_fold_once(fold: Supervised) -> None:
    first = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: "Ray has the job" in fold.said)
    assert fold.run() == ExitCode.OWNED
    assert first.wait(120) == 0, fold.said
    fold.check_finished()
    assert fold.n_jobs == 1


def test_two_folds_share_a_gpu_of_which_each_is_given_a_half(tmp_path: Path, ray: RealRay) -> None:
    ray.add_node("half", gpus=1)
    asked = {"engine": "ray", "gpus": 0.5, "custom_resources": {"half": 1}}
    folds = [Supervised(tmp_path / name, ray.variables, fold=name, **asked) for name in ("fold_0", "fold_1")]
    try:
        processes = [fold.start(epoch_seconds=3.0) for fold in folds]
        for fold in folds:
            fold.wait_for(partial(_has_begun, fold))
        assert [len(fold.processes(FOLD)) for fold in folds] == [1, 1]
        third = Supervised(tmp_path / "third", ray.variables, **asked)
        waits = third.start()
        third.wait_for(lambda: "waits for a node with 0.5 GPU, 4 CPU" in third.said)
        assert "It may wait for ever" not in third.said
        for fold, process in zip(folds, processes, strict=True):
            assert process.wait(120) == 0, fold.said
            assert fold.check_finished()["requested"]["gpus"] == 0.5
        assert waits.wait(120) == 0, third.said
        printed = [(fold.place.own / "output.log").read_text() for fold in (*folds, third)]
        assert [text.partition(",")[0] for text in printed] == ["GPUs 0"] * 3
    finally:
        for fold in folds:
            fold.end()
        ray.kill_node("half")


def test_a_task_that_ray_kills_for_lack_of_memory_goes_on_with_fewer_workers_twice(
    fold: Supervised, ray: RealRay
) -> None:
    ray.add_node("full", RAY_memory_usage_threshold="0.001", RAY_memory_monitor_refresh_ms="200")
    try:
        code = fold.run(custom_resources={"full": 1}, epoch_seconds=20.0)
    finally:
        ray.kill_node("full")
    assert code == ExitCode.OUT_OF_MEMORY, fold.said
    assert "killed due to the node running low on memory" in fold.said
    assert fold.said.count("It is started again with half the worker processes") == 2
    fold.wait_until_gone(5)


def test_a_cluster_of_another_version_is_refused_in_its_words(fold: Supervised, ray: RealRay) -> None:
    def set_version(before: str, after: str) -> None:
        command = [sys.executable, "-c", OTHER_VERSION, ray.address, before, after]
        subprocess.run(command, env={**os.environ, **ray.variables}, check=True, timeout=120)

    set_version("", "2.9.0")
    try:
        assert fold.run() == ExitCode.BAD_INPUT, fold.said
    finally:
        set_version("2.9.0", "")
    assert "Ray refuses the job: Version mismatch: The cluster was started with: Ray: 2.9.0" in fold.said
    fold.wait_until_gone(1)
    assert fold.run() == 0, fold.said
    fold.check_finished()


def test_without_a_cluster_a_run_waits_and_says_so_once(fold: Supervised) -> None:
    fold.variables["RAY_ADDRESS"] = "127.0.0.1:1"
    process = fold.start()
    fold.wait_for(lambda: "Ray does not answer and is asked again until it does. Nothing answers at" in fold.said)
    time.sleep(5)
    assert fold.said.count("Nothing answers at 127.0.0.1:1") == 1
    assert fold.processes(FORKER) == []
    process.terminate()
    assert process.wait(20) != 0
    fold.wait_until_gone(1)
    assert open_record(fold.place.folder) is None


OUTSIDE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
JOINS = """"$@" & supervisor=$!
while [ ! -e {folder}/join ]; do sleep 0.2; done
{join} < /dev/null > {folder}/joined 2>&1
wait $supervisor"""


def can_unshare() -> bool:
    return subprocess.run([*OUTSIDE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="this user may not make namespaces (unshare --pid)")
def test_a_supervisor_on_a_machine_that_is_no_node_says_so_and_goes_on_when_that_joins(
    fold: Supervised, ray: RealRay
) -> None:
    # Another machine as Ray sees it: none of the nodes' processes are there, and the head answers.
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in ray.node_variables.items())
    join = f"env {variables} {shlex.join(ray.node_command('login', gpus=0, cpus=0))}"
    script = JOINS.format(folder=fold.folder, join=join)
    process = fold.start(within=[*OUTSIDE, "sh", "-c", script, "sh"])
    fold.wait_for(lambda: "Ray does not answer and is asked again until it does. This machine is no node" in fold.said)
    assert f"`ray start --address={ray.address} --num-cpus=0 --num-gpus=0`" in fold.said
    time.sleep(5)
    assert fold.said.count("This machine is no node") == 1
    assert fold.processes(FORKER) == []
    (fold.folder / "join").touch()
    assert process.wait(200) == 0, fold.said + (fold.folder / "joined").read_text()
    fold.check_finished()
    assert fold.n_jobs == 1


def test_a_fold_whose_node_is_lost_goes_on_on_another(fold: Supervised, ray: RealRay) -> None:
    ray.add_node("n2")
    process = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: len(fold.epochs) >= 1)
    (trainer,) = fold.processes(FOLD)
    lost = next(name for name, raylet in ray.nodes.items() if _is_below(trainer, raylet.pid))
    ray.kill_node(lost)
    began = time.monotonic()
    trainer.wait(60)
    assert time.monotonic() - began < 20
    try:
        assert process.wait(300) == 0, fold.said
    finally:
        if lost == "n1":
            ray.add_node("n1")
    fold.check_finished()
    assert fold.n_jobs == 2


def _has_begun(fold: Supervised) -> bool:
    return bool(fold.epochs)


def _is_below(process: psutil.Process, pid: int) -> bool:
    return pid in [one.pid for one in process.parents()]


def test_a_head_that_is_lost_is_waited_for_and_the_fold_goes_on_on_the_next(fold: Supervised, ray: RealRay) -> None:
    process = fold.start(epoch_seconds=15.0, n_epochs=8)
    fold.wait_for(lambda: len(fold.epochs) >= 1)
    (trainer,) = fold.processes(FOLD)
    ray.gcs().kill()
    ray.kill_node("head")
    began = time.monotonic()
    trainer.wait(180)
    ended_after = time.monotonic() - began
    fold.wait_for(lambda: "Ray does not answer and is asked again until it does" in fold.said, 120)
    for left in ray.processes():
        left.kill()
    ray.nodes.clear()
    ray.add_node("head", gpus=0, cpus=0)
    ray.add_node("n1")
    assert process.wait(300) == 0, fold.said
    fold.check_finished(8)
    print(json.dumps({"the fold's process ended after": ended_after}))


def test_a_cluster_that_asks_for_a_token_takes_a_fold_with_it_and_tells_one_without(tmp_path: Path) -> None:
    if reason := lack():
        pytest.skip(reason)
    with real_ray(asks_for_token=True) as ray:
        fold = Supervised(tmp_path, {**ray.variables, "RAY_AUTH_MODE": "disabled"}, engine="ray")
        try:
            process = fold.start()
            fold.wait_for(lambda: "Ray does not answer and is asked again until it does" in fold.said, 120)
            assert "asked again until it does. The cluster asks for a token, and has another one than" in fold.said
            process.terminate()
            assert process.wait(60) != 0
            fold.wait_until_gone(2)
            fold.variables.update(ray.variables)
            assert fold.run() == 0, fold.said
            fold.check_finished()
            token = (ray.folder / "token").read_text()
            left = [file for file in tmp_path.rglob("*") if file.is_file() and token.encode() in file.read_bytes()]
            assert left == []
        finally:
            fold.end()


def test_a_ctrl_c_reaches_the_task_by_its_supervisor(fold: Supervised) -> None:
    process = fold.start(epoch_seconds=3.0)
    fold.wait_for(lambda: len(fold.epochs) >= 1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    fold.wait_until_gone(1)
    assert open_record(fold.place.folder) is None
