"""A tracker of a script's own on a real store: what it logs, how runs end, and what a server that is down costs."""

import logging
import math
import os
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import nnunet_assets
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.sent_model import send_model
from nnunet_assets.tracking.own_runs.spool import FOLDER
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold.sync import sync
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port, silent

pytestmark = MLFLOW_WARNINGS


def tracker(
    settings: Settings, *, name: str | None = "baseline", uri: str | None = None, **given: Any
) -> nnunet_assets.Tracker:
    return nnunet_assets.Tracker(uri, "ecg", name, {"approach": "a"}, project=settings.project, **given)


@pytest.fixture
def runs(with_store: Settings) -> Any:
    """Returns the runs by their names."""
    client = connect(Destination.of(with_store))

    def found() -> dict[str, Any]:
        home = client.get_experiment_by_name("ecg")
        return {run.info.run_name: run for run in client.search_runs([home.experiment_id])} if home else {}

    found.client = client  # type: ignore[attr-defined]
    return found


class Figure:
    """Draws itself as Matplotlib's do."""

    def savefig(self, place: Path) -> None:
        place.write_bytes(b"PNG")


def left(settings: Settings) -> list[Path]:
    return list((settings.data / FOLDER).glob("*"))


def test_all_that_is_logged_is_in_the_run(with_store: Settings, runs: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("first")
    ours = tracker(with_store)
    with ours.start_run(tags={"trial": 1}):  # type: ignore[dict-item]
        ours.log_config({"model": {"depth": 5, "path": Path("x")}, "lr": 1e-3})
        ours.log_config({"model": {"width": 8}})
        # Words that a fold has too, where they mean something else.
        ours.log_config({"optimizer": "adam", "device": "cuda", "augmentation": True, "options": [1]})
        for step in range(3):
            ours.log_metric("train/loss/dice", 1 / (step + 1), step=step)
        ours.log_metrics({"score": 2, "odd[name]": 0.5}, step=7)
        ours.log_artifact(tmp_path / "notes.txt", "texts")
        (tmp_path / "notes.txt").write_text("changed since")
        ours.log_figure(Figure(), "plots/loss.png")
        ours.set_tags({"stage": "late"})
    (run,) = runs().values()
    assert (run.info.run_name, run.info.status) == ("baseline", "FINISHED")
    named = {"optimizer": "adam", "device": "cuda", "augmentation": "True", "options": "[1]"}
    assert run.data.params == {"model/depth": "5", "model/path": "x", "model/width": "8", "lr": "0.001", **named}
    assert [tag for tag in run.data.tags if tag in (names.OPTIMIZER, names.DEVICE, names.AUGMENTATION)] == []
    assert run.data.metrics == {"train/loss/dice": 1 / 3, "score": 2.0, "odd_x5b_name_x5d_": 0.5}
    assert {"approach": "a", "trial": "1", "stage": "late"}.items() <= run.data.tags.items()
    history = runs.client.get_metric_history(run.info.run_id, "train/loss/dice")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    files = with_store.artifacts / run.info.run_id / "artifacts"
    assert (files / "texts" / "notes.txt").read_text() == "first"
    assert (files / "plots" / "loss.png").read_bytes() == b"PNG"
    assert (ours.problems, ours.run_id, left(with_store)) == ([], run.info.run_id, [])
    assert ours.get_run_url() == nnunet_assets.get_run_url(run.info.run_id, project=with_store.project)
    assert str(ours.get_run_url()).endswith(f"/runs/{run.info.run_id}")


def test_a_nested_run_lies_below_the_other_and_each_ends_as_it_ended(with_store: Settings, runs: Any) -> None:
    with tracker(with_store) as ours, ours.start_run():
        with pytest.raises(ZeroDivisionError), ours.start_run("trial 1", nested=True):
            _ = 1 / 0
        with ours.start_run("trial 2", nested=True) as same:
            assert same is ours
            ours.log_metric("loss", 1.0)
            ours.end_run("KILLED")
        ours.log_metric("best", 2.0)
    found = runs()
    status = {name: run.info.status for name, run in found.items()}
    assert status == {"baseline": "FINISHED", "trial 1": "FAILED", "trial 2": "KILLED"}
    parent = found["baseline"].info.run_id
    assert {name: run.data.tags.get("mlflow.parentRunId") for name, run in found.items()} == {
        "baseline": None,
        "trial 1": parent,
        "trial 2": parent,
    }
    assert (found["trial 2"].data.metrics, found["baseline"].data.metrics) == ({"loss": 1.0}, {"best": 2.0})
    assert (ours.run_id, ours.problems, left(with_store)) == (parent, [], [])


def test_what_is_logged_before_a_run_begins_one_and_a_second_one_ends_the_first(
    with_store: Settings, runs: Any
) -> None:
    ours = tracker(with_store, name=None)
    ours.log_metric("loss", 1.0)
    ours.start_run("second")
    ours.end_run("FAILED")
    ours.end_run()
    assert sorted((run.info.status, run.data.metrics.get("loss")) for run in runs().values()) == [
        ("FAILED", None),
        ("FINISHED", 1.0),
    ]


@pytest.mark.parametrize("name", ["ECG", "today's ECG"])
def test_a_model_is_registered_once_and_loads_by_its_name(
    name: str, with_store: Settings, runs: Any, tmp_path: Path
) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "MLmodel").write_text("flavors: {}\n")
    with tracker(with_store) as ours:
        ours.log_model(tmp_path / "saved", "models/final_model", registered_model_name=name)
        ours.log_model(object(), "odd")
    (run,) = runs().values()
    assert (with_store.artifacts / run.info.run_id / "artifacts/models/final_model/MLmodel").is_file()
    (tmp_path / "saved.registered").write_text(name)
    send_model(runs.client, run.info.run_id, tmp_path / "saved", "models/final_model")
    (version,) = runs.client.search_model_versions(f'name = "{name}"')
    assert (str(version.version), version.run_id) == ("1", run.info.run_id)
    assert version.source.endswith("/models/final_model")
    (problem,) = ours.problems
    assert problem.startswith("log_model did not work (TypeError): object is no model that can be logged")


@pytest.fixture
def _in_a_moment() -> Iterator[None]:
    """Nothing may wait for a server."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 8


@pytest.mark.faults
@pytest.mark.usefixtures("_in_a_moment")
def test_a_server_that_is_down_or_silent_costs_the_wait_that_was_agreed_and_nothing_is_lost(
    with_store: Settings, runs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with silent() as mute:
        for uri in (f"http://127.0.0.1:{free_port()}", mute):
            ours = tracker(with_store, uri=uri)
            ours.start_run()
            ours.log_metric("loss", 0.5)
            for trial in range(5):
                with ours.start_run(f"trial {trial}", nested=True):
                    ours.log_metric("loss", float(trial))
            ours.end_run(timeout_seconds=0.1)
    assert len(left(with_store)) == 12
    assert "`nnunet-assets sync` sends what waits" in caplog.text


@pytest.mark.faults
def test_what_waits_is_sent_later_and_a_script_that_was_killed_is_known_by_it(
    with_store: Settings, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = Destination.of(with_store)
    ours = tracker(with_store)
    monkeypatch.setattr("nnunet_assets.tracking.fold.sender.connect", _refuses)
    ours.start_run()
    ours.log_metric("loss", 0.5)
    ours.start_run("trial", nested=True)
    ours.end_run()
    ours.end_run(timeout_seconds=0.0)
    killed = tracker(with_store, name="killed")
    killed.start_run()
    killed.log_metric("loss", 0.25)
    monkeypatch.undo()
    killed._open[0].sender._sender.send = lambda *_, **__: True  # type: ignore[method-assign] # its thread is gone
    assert sync(with_store, destination).n_waiting == 0
    assert runs()["killed"].info.status == "RUNNING"  # its script still holds it
    killed._open[0].spool.release()
    report = sync(with_store, destination)
    assert {run.info.run_name: (run.info.status, run.data.metrics) for run in runs().values()} == {
        "baseline": ("FINISHED", {"loss": 0.5}),
        "trial": ("FINISHED", {}),
        "killed": ("KILLED", {"loss": 0.25}),
    }
    assert report.n_waiting == 0
    assert left(with_store) == []
    killed._open.clear()


def _refuses(_destination: Destination) -> Any:
    raise ConnectionError("down")


def test_where_tracking_is_off_nothing_is_kept(
    with_store: Settings, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNUNET_TRACKER_ENABLED", "0")
    for ours in (tracker(with_store), tracker(with_store, enabled=False)):
        with ours.start_run():
            ours.log_metric("loss", 0.5)
        assert (ours.get_run_url(), ours.run_id, ours.problems) == (None, None, [])
    assert (left(with_store), runs()) == ([], {})
    monkeypatch.delenv("NNUNET_TRACKER_ENABLED")
    monkeypatch.setenv("NNUNET_TRACKER_LOG_ARTIFACTS", "0")
    with tracker(with_store) as ours:
        ours.log_figure(Figure(), "loss.png")
    (run,) = runs().values()
    assert not (with_store.artifacts / run.info.run_id / "artifacts" / "loss.png").exists()
    assert "loss.png stays here" in ours.problems[0]
    (spool,) = left(with_store)
    assert [path.read_bytes() for path in spool.rglob("loss.png")] == [b"PNG"]
    monkeypatch.delenv("NNUNET_TRACKER_LOG_ARTIFACTS")
    sync(with_store, Destination.of(with_store))  # what the script was told of files holds for what is sent later
    assert left(with_store) == [spool]


def test_nothing_that_is_given_breaks_a_script(with_store: Settings, caplog: pytest.LogCaptureFixture) -> None:
    ours = tracker(with_store)
    with caplog.at_level(logging.WARNING), ours.start_run():
        ours.log_metric("loss", "much")  # type: ignore[arg-type]
        ours.log_artifact("/nowhere/x.txt")
        ours.log_artifact(__file__, "../../out")
        ours.log_figure(object(), "x.png")
        ours.log_config(5)  # type: ignore[arg-type]
        ours.log_metric("loss", 1.0, step=0.5)  # type: ignore[arg-type]
        ours.end_run("finished")  # type: ignore[arg-type]
    assert len(ours.problems) == 7
    assert "end_run did nothing: 'finished' is no status; they are FINISHED, FAILED, KILLED." in ours.problems
    assert "log_artifact did not work (FileNotFoundError): /nowhere/x.txt is not there." in ours.problems
    assert any("is no place among the artifacts of a run" in problem for problem in ours.problems)
    assert not list(with_store.project.rglob("out"))
    assert "Not logged: 'loss' (ValueError): could not convert string to float: 'much'." in caplog.text


def odd_name(random: Random) -> str:
    """Letters of any script, slashes, what MLflow takes no name with, none at all, and now and then too many."""
    letters = "abzß中😀 _-.:/\\()[]{}?!'\"`\n\t\0x5"
    return "".join(random.choices(letters, k=random.choice([0, 1, 5, 20, 245, 400])))


@pytest.mark.parametrize("seed", range(2))
def test_what_mlflow_never_takes_costs_only_itself(seed: int, with_store: Settings, runs: Any) -> None:
    random = Random(seed)
    odd = {odd_name(random): f"{'ü' * random.choice([1, 9000])}{number}" for number in range(220)}
    values = dict(zip(odd, cycle([np.float32(0.5), np.int64(3), True, "0.25", np.ones(1)]), strict=False))
    ours = tracker(with_store, name="n" * 300)
    with ours.start_run(tags=odd):
        ours.set_tags({f"late {number}": "z" for number in range(150)})
        ours.log_config({"odd": odd, "many": {(1, number): "y" * 6000 for number in range(150)}, "nan": math.nan})
        ours.log_metrics(values, step=np.int64(7))  # type: ignore[arg-type]
        ours.log_metrics({"good": 1.0, "none": None, "many": np.ones(3)})  # type: ignore[dict-item]
    (run,) = runs().values()
    assert run.info.status == "FINISHED"
    fit = {name for name in map(names.own_name, odd) if len(name) <= names.MAX_NAME_LENGTH}
    assert fit <= set(run.data.tags)
    assert {f"late {number}" for number in range(150)} <= set(run.data.tags)
    assert {name for name in map(names.escaped, odd) if len(f"odd/{name}") <= names.MAX_NAME_LENGTH} == {
        key.removeprefix("odd/") for key in run.data.params if key.startswith("odd/")
    }
    assert (run.data.params["nan"], len([key for key in run.data.params if key.startswith("many/")])) == ("nan", 150)
    assert set(run.data.metrics) == fit | {"good"}
    assert all(len(problem) < 3000 for problem in ours.problems)
    assert "longer than MLflow's 250 characters" in " ".join(ours.problems)
    assert "Not logged: 'none' (TypeError)" in " ".join(ours.problems)
    assert left(with_store) == []


def test_values_that_are_not_finite_are_seen(with_store: Settings, runs: Any) -> None:
    with tracker(with_store) as ours:
        for step, value in enumerate([0.5, math.nan, math.inf, -math.inf]):
            ours.log_metric("loss", value, step)
    (run,) = runs().values()
    points = runs.client.get_metric_history(run.info.run_id, "loss")
    most = 1.7976931348623157e308  # in which MLflow's databases keep an infinity
    assert [str(point.value) for point in sorted(points, key=lambda point: point.step)] == [
        *("0.5", "nan", str(most), str(-most))
    ]


def test_a_process_that_is_forked_does_not_end_the_run(with_store: Settings, runs: Any) -> None:
    ours = tracker(with_store)
    ours.log_metric("loss", 0.5)
    with pytest.MonkeyPatch.context() as there:
        there.setattr(os, "getpid", lambda: 1)
        ours._end_at_exit()
    assert len(ours._open) == 1
    ours._end_at_exit()
    assert [run.info.status for run in runs().values()] == ["FINISHED"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(), "FINISHED"),
        (SystemExit(0), "FINISHED"),
        (SystemExit(2), "FAILED"),
        (SystemExit("no data"), "FAILED"),
        (ValueError(), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
)
def test_a_run_ends_as_its_script_does(error: BaseException, status: str, with_store: Settings, runs: Any) -> None:
    def script() -> None:
        with tracker(with_store) as ours:
            ours.log_metric("loss", 0.5)
            raise error

    with pytest.raises(type(error)):
        script()
    assert [run.info.status for run in runs().values()] == [status]
