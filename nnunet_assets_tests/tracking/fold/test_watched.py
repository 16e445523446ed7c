"""Iterations and pictures on their way to a real MLflow: each once, when a checkpoint holds it, where they may go."""

from pathlib import Path

import pytest

from nnunet_assets.core.fold.iterations import batches_path
from nnunet_assets.core.fold.journal import append_record, journal_path, saved_epochs_path, truncate_after_epoch
from nnunet_assets.core.training.panel_files import forget_panels, panel_path
from nnunet_assets.tracking.fold.fold_tracker import send_waiting
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.tracking.folds import Tracked, start, tracker, train
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    return tmp_path / "fold_0"


def watch(fold: Path, first: int, last: int) -> None:
    """Writes epochs of two iterations, with a picture each; an epoch's losses are its number and half more."""
    train(fold, first, last)
    for epoch in range(first, last + 1):
        series = {"train_loss": [float(epoch), epoch + 0.5], "gradient_spike": [None, 7.0 if epoch == 1 else None]}
        append_record(batches_path(fold), "epoch", series, epoch)
        panel_path(fold, epoch).parent.mkdir(exist_ok=True)
        panel_path(fold, epoch).write_bytes(b"a picture")


def pictures(uri: str, folder: Path) -> list[str]:
    client = connect(Destination(uri, folder / "artifacts"))
    run_id = Tracked(uri, folder).run.info.run_id
    return sorted(file.path for file in client.list_artifacts(run_id, "panels"))


def test_what_a_checkpoint_holds_is_sent_and_after_a_kill_each_iteration_is_there_once(
    uri: str, fold: Path, tmp_path: Path
) -> None:
    destination = Destination(uri, tmp_path / "artifacts")
    # As a fold's process does, before anybody sends.
    saved_epochs_path(fold).parent.mkdir(parents=True, exist_ok=True)
    saved_epochs_path(fold).write_text("2")
    with tracker(uri, fold) as following:
        start(fold)
        watch(fold, 0, 3)
        following.finish("FAILED", failure="killed")
    tracked = Tracked(uri, tmp_path)
    assert [step for step, _ in tracked.history("batch/train_loss")] == [0, 1, 2, 3]
    assert pictures(uri, tmp_path) == ["panels/epoch_0000.png", "panels/epoch_0001.png"]

    truncate_after_epoch(journal_path(fold), 2)
    truncate_after_epoch(batches_path(fold), 2)
    forget_panels(fold, 2)
    with tracker(uri, fold) as following:
        watch(fold, 2, 4)
        saved_epochs_path(fold).write_text("5")
        following.finish("FINISHED")
    assert send_waiting(destination, fold).is_done

    steps = [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0), (5, 2.5), (6, 3.0), (7, 3.5), (8, 4.0), (9, 4.5)]
    assert tracked.history("batch/train_loss") == steps
    assert tracked.history("batch/gradient_spike") == [(3, 7.0)]
    assert pictures(uri, tmp_path) == [f"panels/epoch_000{epoch}.png" for epoch in range(5)]


@pytest.mark.parametrize("is_shared", [False, True])
def test_pictures_leave_this_machine_only_where_files_may(
    uri: str, fold: Path, tmp_path: Path, is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnunet_assets.tracking.store.destination.is_local", lambda _: False)
    with tracker(uri, fold, share_files=is_shared) as following:
        start(fold)
        watch(fold, 0, 1)
        following.finish("FINISHED")
    assert pictures(uri, tmp_path) == (["panels/epoch_0000.png", "panels/epoch_0001.png"] if is_shared else [])
    assert len(Tracked(uri, tmp_path).history("batch/train_loss")) == 4


def test_a_fold_that_was_set_back_further_than_what_was_sent_has_its_iterations_sent_again(
    uri: str, fold: Path, tmp_path: Path
) -> None:
    with tracker(uri, fold) as following:
        start(fold)
        watch(fold, 0, 2)
        following.finish("FAILED", failure="killed")
    truncate_after_epoch(journal_path(fold), 1)
    truncate_after_epoch(batches_path(fold), 1)
    forget_panels(fold, 1)
    with tracker(uri, fold) as following:
        watch(fold, 1, 1)
        following.finish("FINISHED")
    steps = [step for step, _ in Tracked(uri, tmp_path).history("batch/train_loss")]
    # MLflow takes no value back: what was sent of epoch 2 stays, and that of epoch 1 is there twice.
    assert steps == [0, 1, 2, 2, 3, 3, 4, 5]
