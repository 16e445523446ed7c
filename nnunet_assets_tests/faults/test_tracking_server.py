"""A tracking server that is absent, dies, is slow or fails costs a training nothing, and has every epoch later."""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import fold_key
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.tracking.fold.fold_tracker import send_waiting
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.faults.conftest import Prepared
from nnunet_assets_tests.faults.one_fold import OVERRIDES
from nnunet_assets_tests.faults.trials import SIBLING, Trial, check_finished, check_tracking
from nnunet_assets_tests.tracking.folds import Tracked
from nnunet_assets_tests.tracking.servers import (
    MLFLOW_WARNINGS,
    Answer,
    MlflowServer,
    Request,
    answering,
    forwarded,
    free_port,
    serving,
)

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = MlflowServer(folder)
    server.start()
    yield server
    server.kill()


@contextmanager
def absent(_server: MlflowServer) -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


@contextmanager
def slow(server: MlflowServer) -> Iterator[str]:
    def rule(request: Request) -> Answer:
        time.sleep(5)
        return forwarded(request, server.uri)

    with serving(rule) as proxy:
        yield proxy.uri


@contextmanager
def failing(_server: MlflowServer) -> Iterator[str]:
    with answering(500, b"oops") as uri:
        yield uri


@pytest.mark.parametrize("trouble", [absent, slow, failing])
def test_a_server_in_trouble_costs_the_training_nothing_and_gets_every_epoch_later(
    make_trial: Callable[..., Trial],
    server: MlflowServer,
    prepared: Prepared,
    said: Callable[..., None],
    trouble: Callable[[MlflowServer], AbstractContextManager[str]],
) -> None:
    trial = make_trial()
    with trouble(server) as uri:
        trial.variables["MLFLOW_TRACKING_URI"] = uri
        seconds = _fold_seconds(trial)
    # The machine may be busier than it was for the undisturbed fold; a call that hangs costs more than this.
    assert seconds < 2 * prepared.seconds + 10
    figures = _sent_later(trial, server)
    said(fold=f"{seconds:.1f} s, undisturbed {prepared.seconds:.1f} s", **figures)


def test_a_server_that_dies_in_the_middle_costs_the_training_nothing_and_gets_every_epoch_later(
    make_trial: Callable[..., Trial], server: MlflowServer, said: Callable[..., None]
) -> None:
    trial = make_trial(variables={"MLFLOW_TRACKING_URI": server.uri})
    process = trial.start()
    trial.wait_for(lambda: len(trial.epochs) >= 2)
    time.sleep(0.5)  # so that it has a part of them
    server.kill()
    assert trial.wait(process) == 0, trial.output
    server.start()
    said(**_sent_later(trial, server))


def test_five_folds_that_open_a_fresh_store_at_once_are_all_tracked(tmp_path: Path, said: Callable[..., None]) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folds = [tmp_path / f"fold_{number}" for number in range(5)]
    at = str(time.time() + 15)
    module = [sys.executable, "-m", "nnunet_assets_tests.faults.one_tracker"]
    running = [
        subprocess.Popen([*module, fold, uri, at], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for fold in folds
    ]
    outputs = [process.communicate(timeout=180)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0] * 5, "\n".join(outputs)
    tracked = Tracked(uri, tmp_path)
    runs = [run for run in tracked.runs if "nnunet_assets.fold" in run.data.tags]
    assert sorted(run.data.tags["nnunet_assets.fold"] for run in runs) == [fold.name for fold in folds]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert tracked.history("train_loss", run.info.run_id) == [(epoch, epoch / 10) for epoch in range(6)]
    said(trackers=5, epochs_each=6)


def test_five_trainings_that_share_a_store_which_is_locked_again_and_again_are_all_tracked(
    make_trial: Callable[..., Trial], said: Callable[..., None]
) -> None:
    trial = make_trial()
    shutil.rmtree(trial.fold_folder(SIBLING))
    folds = [fold_key(number) for number in range(5)]
    with locked_again_and_again(trial.folder / "data" / "mlflow.db") as n_locks:
        processes = [trial.start(fold) for fold in folds]
        # Not `trial.wait`: it ends the others.
        assert [process.wait(400) for process in processes] == [0] * 5, trial.output
    trial.end_processes()
    assert trial.survivors == []
    for fold in folds:
        manifest = read_committed(trial.fold_folder(fold), check_files=True)
        assert manifest is not None
        assert [record.epoch for record in trial.epochs_of(fold)] == list(range(OVERRIDES["num_epochs"]))
        send_waiting(Destination(trial.tracking_uri, trial.folder / "data" / "mlartifacts"), trial.fold_folder(fold))
        assert check_tracking(trial, fold, trial.tracking_uri) == 0
    said(trainings=5, locks_of_7_s=len(n_locks))


@contextmanager
def locked_again_and_again(store: Path) -> Iterator[list[float]]:
    """Holds an SQLite store for 7 s, leaves it for 3 s, and so on; yields when each lock was taken."""
    taken: list[float] = []
    is_over = threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(store, timeout=30, isolation_level=None)
        while not is_over.wait(3):
            connection.execute("BEGIN EXCLUSIVE")
            taken.append(time.time())
            is_over.wait(7)
            connection.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield taken
    finally:
        is_over.set()
        thread.join()


def _fold_seconds(trial: Trial) -> float:
    """Runs the fold and returns how long its process took, without the end of the tracking."""
    process = trial.start()
    trial.wait_for(trial.trainers)
    began = time.monotonic()
    trial.wait_for((trial.fold_folder() / ".nnunet_assets" / "COMMIT").exists, 200)
    seconds = time.monotonic() - began
    assert trial.wait(process) == 0, trial.output
    return seconds


def _sent_later(trial: Trial, server: MlflowServer) -> dict[str, object]:
    """Sends to the real server what waits, twice, and checks that it has everything once."""
    for _ in range(2):
        report = send_waiting(Destination(server.uri, trial.folder / "data" / "mlartifacts"), trial.fold_folder())
        assert (report.n_waiting, report.problem) == (0, None)
    return check_finished(trial, tracking_uri=server.uri)
