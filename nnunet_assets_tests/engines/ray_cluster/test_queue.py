"""Ray as a queue of jobs, with drivers that are played by a script: no Ray is needed, or loaded."""

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_queue import JobOrder, QueueRefusedError, QueueSilentError
from nnunet_assets.engines.ray_cluster import queue as queue_module
from nnunet_assets.engines.ray_cluster.forked import ForkedDriver
from nnunet_assets.engines.ray_cluster.queue import RayQueue, no_answer
from nnunet_assets.errors import ConfigError
from nnunet_assets_tests.living_processes import living

TELL = "import json, sys, time; told = lambda **t: open('ray.json', 'w').write(json.dumps(t))\n"
CONNECTED = TELL + "told(state='HELD', job_id='07000000')\n"


@pytest.fixture
def order(tmp_path: Path) -> JobOrder:
    return JobOrder("nnunet_assets-abc", tmp_path, Resources(gpus=1, cpus=4))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Scripts of the drivers to come, in turn."""
    scripts: list[str] = []
    processes: list[subprocess.Popen[bytes]] = []

    def started(folder: Path, variables: Mapping[str, str]) -> ForkedDriver:
        assert variables["RAY_TQDM"] == "0"
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-S", "-u", "-c", scripts.pop(0)]
        with theirs, (folder / "ray.log").open("ab") as log:
            processes.append(subprocess.Popen(command, cwd=folder, stdin=theirs.fileno(), stdout=log, stderr=log))
        return ForkedDriver(ours, processes[-1].pid)

    monkeypatch.setattr(queue_module, "refuse_missing", lambda: None)
    monkeypatch.setattr(queue_module, "forked_driver", started)
    yield scripts
    assert scripts == []
    for process in processes:
        process.wait(10)


def test_a_driver_hears_the_words_and_ends_with_its_input(played: list[str], order: JobOrder) -> None:
    played.append(CONNECTED + "for line in sys.stdin: print('heard', line.strip())\n")
    queue = RayQueue({})
    assert queue.find(order.name) is None
    assert queue.submit(order) == "07000000"
    assert queue.find(order.name) == "07000000"
    assert queue.submit(order) == "07000000"  # asked again, as after an answer that was lost
    assert queue.look("07000000").state == "PENDING"
    assert not queue.look("07000000").is_over
    pid = queue._drivers[order.name].process.pid
    queue.release("07000000")
    queue.cancel("07000000")
    queue.forget(order.name)
    assert living([pid]) == []
    assert (order.folder / "ray.log").read_text().splitlines() == ["heard release", "heard cancel"]
    assert queue.look("07000000").state == "GONE"
    queue.forget(order.name)


def test_a_driver_that_ends_without_a_word_is_the_end_of_its_task(played: list[str], order: JobOrder) -> None:
    played.append(
        CONNECTED + "sys.exit('[2026-11-30 13:49:53,443 E 2 3] rpc_client.h:204: Failed to connect to GCS.')\n"
    )
    queue = RayQueue({})
    queue.submit(order)
    while not queue._drivers[order.name].process.has_ended:
        time.sleep(0.01)
    queue.release("07000000")
    look = queue.look("07000000")
    assert look.is_over
    assert look.said == "Its driver ended, as where the cluster's head is lost: Failed to connect to GCS."
    queue.forget(order.name)


def test_a_cluster_of_other_versions_refuses_and_one_that_does_not_answer_is_silent(
    played: list[str], order: JobOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    played += [TELL + "told(refusal='Version mismatch: 2.9')\n", "raise SystemExit('ConnectionError: none')", CONNECTED]
    queue = RayQueue({})
    with pytest.raises(QueueRefusedError, match=r"Version mismatch: 2\.9"):
        queue.submit(order)
    with pytest.raises(QueueSilentError, match="ConnectionError: none"):
        queue.submit(order)
    with pytest.raises(QueueSilentError, match="tried again in a moment"):  # not a Python a second
        queue.submit(order)
    assert queue._next_try - time.monotonic() == pytest.approx(10, abs=5)
    played.insert(0, "raise SystemExit('ConnectionError: none')")
    monkeypatch.setattr(queue, "_next_try", time.monotonic())
    with pytest.raises(QueueSilentError, match="ConnectionError: none"):
        queue.submit(order)
    assert queue._next_try - time.monotonic() == pytest.approx(20, abs=5)
    monkeypatch.setattr(queue, "_next_try", time.monotonic())
    assert queue.submit(order) == "07000000"
    queue.forget(order.name)


def test_drivers_that_nothing_can_fork_are_asked_for_ever_more_rarely(
    order: JobOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(folder: Path, _: Mapping[str, str]) -> ForkedDriver:
        (folder / "ray.log").write_text("ImportError: libray.so\n")
        raise ChildProcessError("The process that forks Ray's drivers has ended")

    monkeypatch.setattr(queue_module, "refuse_missing", lambda: None)
    monkeypatch.setattr(queue_module, "forked_driver", ended)
    queue = RayQueue({})
    with pytest.raises(QueueSilentError, match=r"drivers has ended: ImportError: libray\.so"):
        queue.submit(order)
    with pytest.raises(QueueSilentError, match="tried again in a moment"):
        queue.submit(order)


def test_an_address_at_which_nothing_listens_costs_no_process(played: list[str], order: JobOrder) -> None:
    queue = RayQueue({"RAY_ADDRESS": "127.0.0.1:1"})
    with pytest.raises(QueueSilentError, match=r"Nothing answers at 127\.0\.0\.1:1 .*ray start --head"):
        queue.submit(order)
    assert not played
    assert no_answer("auto") is None
    assert no_answer("127.0.0.1:99999")


def test_all_processes_of_this_machine_are_not_looked_at_every_moment(
    played: list[str], order: JobOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(["This machine is no node.", "This machine is no node.", None])
    monkeypatch.setattr(queue_module, "no_node_here", lambda _: next(looks))
    queue = RayQueue({})
    for seconds in (10, 20):
        monkeypatch.setattr(queue, "_next_try", time.monotonic())
        for said in ("This machine is no node", "tried again in a moment", "tried again in a moment"):
            with pytest.raises(QueueSilentError, match=said):
                queue.submit(order)
        assert queue._next_try - time.monotonic() == pytest.approx(seconds, abs=5)
    monkeypatch.setattr(queue, "_next_try", time.monotonic())
    played.append(CONNECTED)
    assert queue.submit(order) == "07000000"
    queue.forget(order.name)


def test_without_ray_nothing_is_begun_and_the_extra_is_named(order: JobOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'nnunet_assets\[ray\]'"):
        RayQueue({}).submit(order)
    assert not list(order.folder.iterdir())
