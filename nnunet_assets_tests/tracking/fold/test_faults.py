"""A server that is down, silent, restarted or lying costs delay, and never an epoch, a second value or the training."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.tracking.fold.fold_run import FoldRun
from nnunet_assets.tracking.fold.fold_tracker import send_waiting
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.tracking.folds import DATASET, TAGS, Tracked, start, tracker, train, validate, wait_until
from nnunet_assets_tests.tracking.servers import (
    MLFLOW_WARNINGS,
    Answer,
    FalseServer,
    MlflowServer,
    Request,
    Road,
    answering,
    forwarded,
    free_port,
    serving,
    silent,
)

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def server(mlflow_server: MlflowServer) -> MlflowServer:
    """The session's server, without the runs of the tests before, of whichever module."""
    tracked = Tracked(mlflow_server.uri, Path("/nowhere"))
    for run in tracked.runs:
        tracked.delete(run)
    return mlflow_server


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    return tmp_path / "fold_0"


def losses(last: int) -> list[tuple[int, float]]:
    return [(epoch, epoch / 10) for epoch in range(last + 1)]


def test_a_server_that_dies_and_comes_back_gets_every_epoch_exactly_once(
    server: MlflowServer, fold: Path, tmp_path: Path
) -> None:
    road, tracked = Road(server), Tracked(server.uri, tmp_path)
    with tracker(road.uri, fold) as following:
        start(fold)
        train(fold, 0, 2)
        with road.open():
            wait_until(lambda: bool(tracked.runs) and tracked.history("train_loss") == losses(2))
        train(fold, 3, 5)
        time.sleep(0.5)  # several tries fail meanwhile
        with road.open():
            train(fold, 6, 6)
            wait_until(lambda: tracked.history("train_loss") == losses(6))
            report = following.finish("FINISHED", contents={"learning_curve.png": b"\x89PNG"})
    assert (report.n_sent, report.n_waiting, report.problem) == (8, 0, None)
    run = tracked.run
    assert report.url == f"{road.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert (run.info.status, tracked.files()) == ("FINISHED", ["learning_curve.png", "params.json"])


def test_what_a_dead_server_did_not_get_at_the_end_is_sent_later(
    server: MlflowServer, fold: Path, tmp_path: Path
) -> None:
    road = Road(server)
    with tracker(road.uri, fold) as following:
        start(fold)
        train(fold, 0, 2)
        validate(fold)
        began = time.monotonic()
        report = following.finish("FINISHED", contents={"learning_curve.png": b"\x89PNG"}, timeout_seconds=1)
        assert time.monotonic() - began < 3
    assert (report.run_id, report.n_sent, report.n_waiting) == (None, 0, 5)
    assert f"MLflow at {road.uri} is not reachable: Connection refused." in str(report.problem)
    ended_ms = time.time_ns() // 1_000_000
    with road.open():
        for _ in range(2):  # repeating it changes nothing
            report = send_waiting(Destination(road.uri, tmp_path / "artifacts"), fold)
            assert (report.n_sent, report.n_waiting, report.problem) == (5, 0, None)
    tracked = Tracked(server.uri, tmp_path)
    assert tracked.history("train_loss") == losses(2)
    assert tracked.run.info.status == "FINISHED"
    assert tracked.run.info.end_time <= ended_ms
    assert tracked.files() == ["learning_curve.png", "params.json"]


def test_a_server_that_never_answers_holds_nobody_up_and_the_ending_is_kept(
    server: MlflowServer, fold: Path, tmp_path: Path
) -> None:
    with silent() as uri:
        began = time.monotonic()
        with tracker(uri, fold) as following:
            start(fold)
            train(fold, 0, 2)
            wait_until(lambda: FoldRun.load(fold) is not None)  # from here on a call to the server hangs
            assert time.monotonic() - began < 2
            report = following.finish("FAILED", timeout_seconds=1)
        assert time.monotonic() - began < 4
        assert (report.n_sent, report.n_waiting, report.run_id) == (0, 4, None)
        assert "no answer yet" in str(report.problem)
    report = send_waiting(Destination(server.uri, tmp_path / "artifacts"), fold)
    assert (report.n_waiting, report.problem) == (0, None)
    assert Tracked(server.uri, tmp_path).run.info.status == "FAILED"


def test_wrong_credentials_are_told_apart_from_a_dead_server_and_not_tried_in_a_storm(fold: Path) -> None:
    denied: Answer = (401, b"You are not authenticated", {})
    with serving(lambda _request: denied) as false_server, tracker(false_server.uri, fold) as following:
        start(fold)
        train(fold, 0, 2)
        time.sleep(2)
        assert 2 <= len(false_server.requests) <= 8
        began = time.monotonic()
        report = following.finish("FINISHED")
        assert time.monotonic() - began < 3
    assert "does not let us in (unauthorized)" in str(report.problem)
    assert report.n_waiting == 4


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (500, b"oops", "answers with an error of its own"),
        (200, b"<html>Please log in</html>", "is not MLflow"),
    ],
)
def test_a_false_answer_is_a_problem_and_every_record_waits(fold: Path, status: int, body: bytes, problem: str) -> None:
    with answering(status, body) as uri, tracker(uri, fold) as following:
        start(fold)
        report = following.finish("FAILED", timeout_seconds=1)
    assert problem in str(report.problem)
    assert report.n_waiting == 1


def test_replies_that_are_lost_make_no_second_run_and_no_second_value(
    server: MlflowServer, fold: Path, tmp_path: Path
) -> None:
    seen: dict[str, int] = {}

    def lose_every_first_reply(request: Request) -> Answer | None:
        answer = forwarded(request, server.uri)
        path = request.path.partition("?")[0]
        seen[path] = seen.get(path, 0) + 1
        return None if seen[path] % 2 else answer

    with serving(lose_every_first_reply) as proxy, tracker(proxy.uri, fold) as following:
        start(fold)
        train(fold, 0, 5)
        report = following.finish("FINISHED")
    assert (report.n_sent, report.problem) == (7, None)
    tracked = Tracked(server.uri, tmp_path)
    assert tracked.history("train_loss") == losses(5)
    assert tracked.run.info.status == "FINISHED"


def test_a_record_that_mlflow_refuses_is_counted_and_does_not_hold_up_the_others(
    server: MlflowServer, fold: Path, tmp_path: Path
) -> None:
    refusal = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no poison"}'

    def refuse_poison(request: Request) -> Answer:
        return (400, refusal, {}) if b"poison" in request.body else forwarded(request, server.uri)

    with serving(refuse_poison) as proxy, tracker(proxy.uri, fold) as following:
        start(fold)
        train(fold, 0, 0)
        append_record(journal_path(fold), "epoch", {"poison": 1.0}, epoch=1)
        train(fold, 2, 2)
        report = following.finish("FINISHED")
    assert (report.n_sent, report.n_waiting, report.n_refused) == (4, 0, 1)
    assert "refuses what it is sent: INVALID_PARAMETER_VALUE: no poison" in str(report.problem)
    assert Tracked(server.uri, tmp_path).history("train_loss") == [(0, 0.0), (2, 0.2)]


def test_a_file_too_large_for_the_server_is_named_and_the_run_is_ended(
    server: MlflowServer, fold: Path, tmp_path: Path
) -> None:
    def refuse_large(request: Request) -> Answer:
        return (413, b"too large", {}) if len(request.body) > 1000 else forwarded(request, server.uri)

    with serving(refuse_large) as proxy, tracker(proxy.uri, fold) as following:
        start(fold)
        report = following.finish("FINISHED", contents={"large.png": b"x" * 2000, "small.png": b"x"})
    assert "large.png was not uploaded." in str(report.problem)
    assert report.n_waiting == 0
    tracked = Tracked(server.uri, tmp_path)
    assert (tracked.run.info.status, tracked.files()) == ("FINISHED", ["params.json", "small.png"])


@contextmanager
def elsewhere(server: MlflowServer) -> Iterator[FalseServer]:
    """The server under a name that is not this machine's; an address as one number leads back here all the same."""
    with serving(lambda request: forwarded(request, server.uri)) as proxy:
        yield replace(proxy, uri=proxy.uri.replace("127.0.0.1", str(int(ip_address("127.0.0.1")))))


@pytest.mark.parametrize(("share", "files"), [(False, ["params.json"]), (True, ["curve.png", "params.json"])])
def test_files_leave_this_machine_only_if_the_user_agrees(
    server: MlflowServer, fold: Path, share: bool, files: list[str]
) -> None:
    with elsewhere(server) as proxy, tracker(proxy.uri, fold, share_files=share) as following:
        start(fold)
        report = following.finish("FINISHED", contents={"curve.png": b"x"})
    assert (report.problem, Tracked(server.uri, fold.parent).files()) == (None, files)


def test_files_that_may_leave_this_machine_say_nothing_of_where_they_lay(
    server: MlflowServer, fold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "ward7-pc")
    text = f"torn: {fold}/validation/a.nii.gz, /home/smith/w.pth on ward7-pc.\n".encode()
    with elsewhere(server) as proxy:
        with tracker(proxy.uri, fold, share_files=True) as following:
            start(fold)
            report = following.finish("FINISHED", contents={"notes.txt": text})
        sent = b"".join(request.path.encode() + request.body for request in proxy.requests)
    assert report.problem is None
    assert b"w.pth on host-" in sent
    assert not [word for word in (b"smith", str(fold.parent).encode(), b"ward7") if word in sent]


def test_files_stay_here_when_a_run_that_was_deleted_is_made_anew(server: MlflowServer, fold: Path) -> None:
    tracked = Tracked(server.uri, fold.parent)
    with elsewhere(server) as proxy:
        with tracker(proxy.uri, fold) as following:
            start(fold)
            following.finish("FINISHED", contents={"curve.png": b"x"})
        tracked.delete(tracked.run)
        report = send_waiting(Destination(proxy.uri, fold.parent / "artifacts"), fold)
    assert (report.problem, tracked.files()) == (None, ["params.json"])


def test_case_ids_paths_and_the_host_leave_this_machine_as_pseudonyms(server: MlflowServer, fold: Path) -> None:
    cases = fold.parent / "preprocessed" / DATASET / "splits_final.json"
    cases.parent.mkdir(parents=True)
    cases.write_text('[{"train": ["smith_1"], "val": ["jones_2"]}]')
    tags = {**TAGS, "nnunet_assets.dataset": DATASET, "nnunet_assets.host": "ward7"}
    params = {"weights": "/home/dr/w.pth", "left_out": ["smith_1"], "notes": {"jones_2": "blurred"}, "lr": 0.01}
    with elsewhere(server) as proxy:
        with tracker(proxy.uri, fold, tags=tags, preprocessed=fold.parent / "preprocessed") as following:
            start(fold, params=params)
            train(fold, 0, 1)
            report = following.finish("FINISHED", contents={"smith_1.png": b"smith_1"})
        sent = b"".join(request.path.encode() + request.body for request in proxy.requests)
    assert report.problem is None
    assert [word for word in (b"smith", b"jones", b"/home/dr", b"ward7") if word in sent] == []
    run = Tracked(server.uri, fold.parent).run
    assert run.data.tags["nnunet_assets.host"].startswith("host-")
    assert run.data.params["lr"] == "0.01"
    assert run.data.params["weights"].startswith("path-")
    assert run.data.params["left_out"].startswith('["case-')
    assert run.data.metrics["epochs_trained"] == 2.0


def test_a_password_in_the_tracking_uri_is_neither_shown_nor_stored(fold: Path) -> None:
    uri = f"http://me:hunter2@127.0.0.1:{free_port()}"
    with tracker(uri, fold) as following:
        start(fold)
        report = following.finish("FINISHED", timeout_seconds=0.5)
    assert "hunter2" not in str(report)
    assert all(b"hunter2" not in file.read_bytes() for file in fold.rglob("*") if file.is_file())
