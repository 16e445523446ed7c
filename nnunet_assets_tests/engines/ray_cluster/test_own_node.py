"""A machine that is no node of a Ray, told before a process of Ray's is begun; a real one: `test_real_ray.py`."""

import socket
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_queue import JobOrder, QueueSilentError
from nnunet_assets.engines.ray_cluster import queue as queue_module
from nnunet_assets.engines.ray_cluster.own_node import no_node_here
from nnunet_assets.engines.ray_cluster.queue import RayQueue


def runs(monkeypatch: pytest.MonkeyPatch, *commands: list[str] | psutil.Error) -> None:
    """Lets these processes run on this machine, and no others."""

    def cmdline(command: list[str] | psutil.Error) -> list[str]:
        if isinstance(command, psutil.Error):
            raise command
        return command

    played = [SimpleNamespace(cmdline=lambda one=one: cmdline(one)) for one in commands]
    monkeypatch.setattr(psutil, "process_iter", lambda: iter(played))


RAYLET = ["/usr/lib/python3/ray/core/src/ray/raylet/raylet", "--node_id=1f2e"]
OTHERS: tuple[list[str] | psutil.Error, ...] = (
    [],
    psutil.AccessDenied(1),
    psutil.NoSuchProcess(2),
    ["grep", "raylet"],
    ["/data/raylet/train.py"],
)


def test_a_machine_is_a_node_where_a_raylet_runs_and_one_without_hears_how_to_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs(monkeypatch, *OTHERS, RAYLET)
    assert no_node_here("10.0.0.1:6379") is None
    runs(monkeypatch, *OTHERS)
    assert no_node_here("10.0.0.1:6379") == (
        "This machine is no node of the cluster at 10.0.0.1:6379, and Ray takes a connection from its own nodes alone. "
        "Let it join, to train nothing: `ray start --address=10.0.0.1:6379 --num-cpus=0 --num-gpus=0`; or have Dagster "
        "on a machine of the cluster."
    )
    # Ray says itself what it does not find.
    assert no_node_here("auto") is None
    assert no_node_here(None) is None


def test_no_driver_is_begun_on_a_machine_that_is_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, *OTHERS)
    monkeypatch.setattr(queue_module, "refuse_missing", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        asked = Resources(gpus=1, cpus=4, address=address)
        with pytest.raises(QueueSilentError, match=f"This machine is no node of the cluster at {address}, "):
            RayQueue({}).submit(JobOrder("nnunet_assets-abc", tmp_path, asked))
    assert list(tmp_path.iterdir()) == []
