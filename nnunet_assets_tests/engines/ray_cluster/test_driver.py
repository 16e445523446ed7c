"""The driver of a task, on a cluster that is played: what it submits when, ends when, and tells."""

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_files import Started, read_from_job, write_for_job
from nnunet_assets.engines.ray_cluster import driver as driver_module
from nnunet_assets.engines.ray_cluster.driver import Driver, leave_out
from nnunet_assets.engines.ray_cluster.driver_files import TOLD_FILE, RayOrder, RayTold


class PlayedCluster:
    """A cluster that keeps what it was asked, and ends the task after so many looks."""

    def __init__(self, results: list[RayTold | None], *, ends_by: str = "") -> None:
        self.results, self.ends_by = results, ends_by
        self.asked: list[str] = []
        self.options: dict[str, Any] = {}
        self.job_id = "07000000"

    def nodes(self) -> list[Mapping[str, float]]:
        return [{"GPU": 2.0, "CPU": 8.0}]

    def submit(self, options: Mapping[str, Any], *arguments: Any) -> None:
        self.asked.append("submit")
        self.options = dict(options)

    def cancel(self, *, force: bool) -> None:
        self.asked.append("force" if force else "cancel")
        if self.asked[-1] == self.ends_by:
            self.results = [RayTold("CANCELLED")]

    def result(self) -> RayTold | None:
        return self.results.pop(0) if self.results else None


class Played:
    """A driver whose supervisor says these words, a word a look; after them it says nothing."""

    def __init__(self, folder: Path, cluster: PlayedCluster, resources: Resources, words: list[str]) -> None:
        self.folder, self.cluster, self.words = folder, cluster, words
        self.told: list[RayTold] = []
        self.driver = Driver(folder, RayOrder("nnunet_assets-abc", resources, os.getppid()), cluster)

    def run(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        words = iter(self.words)
        tell = Driver._tell

        def told(one: Driver, **changes: Any) -> None:
            tell(one, **changes)
            self.told.append(one.told)

        monkeypatch.setattr(Driver, "_word", lambda _: next(words, None))
        monkeypatch.setattr(Driver, "_tell", told)
        self.driver.run()
        assert read_from_job(RayTold, self.folder / TOLD_FILE) == self.driver.told
        return self.cluster.asked


ASKED = Resources(gpus=1, cpus=4)


def test_nothing_is_submitted_before_its_id_is_told_and_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = RayTold("COMPLETED", node="gpu1 (1f2e)", exit_code=0)
    played = Played(tmp_path, PlayedCluster([None, done]), ASKED, ["release"])
    assert played.run(monkeypatch) == ["submit"]
    assert (played.told[0].state, played.told[0].job_id) == ("HELD", "07000000")
    assert played.cluster.options["num_cpus"] == 4
    assert played.driver.told == RayTold(
        "COMPLETED", "07000000", "gpu1 (1f2e)", None, may_never_start=False, exit_code=0
    )


@pytest.mark.parametrize("word", ["cancel", ""])
def test_a_supervisor_that_ends_before_it_releases_leaves_nothing_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    played = Played(tmp_path, PlayedCluster([]), ASKED, [word])
    assert played.run(monkeypatch) == []
    assert played.driver.told.state == "CANCELLED"


@pytest.mark.parametrize("word", ["cancel", ""])
def test_a_task_ends_with_its_supervisor_or_by_its_word_and_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    played = Played(tmp_path, PlayedCluster([], ends_by="cancel"), ASKED, ["release", word, word])
    assert played.run(monkeypatch) == ["submit", "cancel"]
    assert played.driver.told.state == "CANCELLED"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes at each look at the clock."""
    clock = iter(range(1000))
    monkeypatch.setattr(driver_module, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))


@pytest.mark.usefixtures("hurried")
def test_a_task_that_does_not_end_is_killed_after_its_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(tmp_path, PlayedCluster([], ends_by="force"), ASKED, ["release", "cancel"])
    assert played.run(monkeypatch) == ["submit", "cancel", "force"]


@pytest.mark.usefixtures("hurried")
def test_a_task_that_nothing_ends_is_given_up_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(tmp_path, PlayedCluster([]), ASKED, ["release", "cancel"])
    assert played.run(monkeypatch) == ["submit", "cancel", "force"]
    assert played.driver.told.reason == "it was given up, since Ray did not end it"


def test_while_a_task_ends_nothing_is_busy_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    played = Played(tmp_path, PlayedCluster([None, None, None, RayTold("CANCELLED")]), ASKED, ["release", ""])
    monkeypatch.setattr(driver_module.time, "sleep", slept.append)  # type: ignore[attr-defined]
    assert played.run(monkeypatch) == ["submit", "cancel"]
    assert slept == [driver_module.POLL_SECONDS] * 3


def test_a_wait_has_a_reason_and_a_start_has_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = PlayedCluster([None, None, RayTold("CANCELLED")])
    played = Played(tmp_path, cluster, Resources(gpus=3, cpus=4), ["release"])

    def nodes() -> list[Mapping[str, float]]:
        write_for_job(tmp_path / "started.json", Started("gpu1 (1f2e)", 0.0))
        return [{"GPU": 2.0}]

    monkeypatch.setattr(cluster, "nodes", nodes)
    played.run(monkeypatch)
    wait = next(one for one in played.told if one.state == "PENDING")
    assert wait.may_never_start
    assert "3 GPU" in wait.reason
    runs = next(one for one in played.told if one.state == "RUNNING")
    assert (runs.node, runs.reason, runs.may_never_start) == ("gpu1 (1f2e)", None, False)
    # Ray's error names no node; where it ran is known.
    assert (played.driver.told.state, played.driver.told.node) == ("CANCELLED", "gpu1 (1f2e)")


def test_what_is_left_out_cannot_be_imported_and_what_is_loaded_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    # Entered, so that it is taken out again, and taken out, so that it is as if nobody had loaded it.
    monkeypatch.setitem(sys.modules, "sched", SimpleNamespace())
    del sys.modules["sched"]
    leave_out(("sched", "json"))
    with pytest.raises(ModuleNotFoundError, match="sched"):
        importlib.import_module("sched")
    assert importlib.import_module("json") is json
