"""What reaches a fold's run, and that it does so once: in memory, or on a real store where several write at once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import journal_path, saved_epochs_path, truncate_after_epoch
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun
from nnunet_assets.tracking.fold.fold_tracker import MAX_LOAD, known_report, send_waiting
from nnunet_assets.tracking.fold.sender import FoldSender
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.fakes.mlflow_client import InMemoryMlflow
from nnunet_assets_tests.tracking.folds import TAGS, Tracked, start, tracker, train, validate, wait_until
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def in_memory(tmp_path: Path, stores_in_memory: None) -> str:
    """A tracking URI whose runs are in memory."""
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    return tmp_path / "fold_0"


def losses(last: int) -> list[tuple[int, float]]:
    return [(epoch, epoch / 10) for epoch in range(last + 1)]


UNTIMED = {"training_seconds": 0.0, "training_hours": 0.0}
"""What the end of a training shows whose epochs do not say how long they took."""


def test_epochs_arrive_while_the_fold_trains(uri: str, fold: Path, tmp_path: Path) -> None:
    tracked = Tracked(uri, tmp_path)
    with tracker(uri, fold) as following:
        start(fold)
        train(fold, 0, 1)
        wait_until(lambda: bool(tracked.runs) and tracked.history("train_loss") == losses(1))
        assert tracked.run.info.status == "RUNNING"
        train(fold, 2, 2)
        validate(fold)
        report = following.finish("FINISHED")
    assert (report.n_sent, report.n_waiting, report.n_refused, report.problem) == (5, 0, 0, None)
    assert (report.run_id, report.url) == (tracked.run.info.run_id, None)
    assert tracked.history("train_loss") == losses(2)


def test_a_finished_run_shows_what_the_journal_holds(uri: str, fold: Path, tmp_path: Path) -> None:
    with tracker(uri, fold) as following:
        start(fold, params={"plans": {"patch_size": [40, 56]}, "api_token": "hf_secret"})
        train(fold, 0, 2)
        validate(fold)
        (fold / "training_log.txt").write_text("epoch 0")
        report = following.finish("FINISHED", [fold / "training_log.txt"], {"learning_curve.png": b"\x89PNG"})
    assert report.problem is None
    tracked = Tracked(uri, tmp_path)
    run = tracked.run
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "nnUNetTrainer__nnUNetPlans__2d fold_0"
    assert run.data.params == {"plans/patch_size": "[40, 56]", "api_token": "***"}
    assert {key: run.data.tags[key] for key in TAGS} == TAGS
    assert run.data.tags["nnunet_assets.attempt"] == "attempt-1"
    # Undefined values are missing, not zero; results stand at the last epoch.
    assert run.data.metrics == {
        "train_loss": 0.2,
        "pseudo_dice_mean": 0.5,
        "val_dice_mean": 0.87,
        "val_dice/tumor _x28_core_x29_": 0.8,
        "epochs_trained": 3.0,
        **UNTIMED,
    }
    assert tracked.history("val_dice_mean") == [(2, 0.87)]
    assert tracked.files() == ["learning_curve.png", "params.json", "training_log.txt"]
    stored = tmp_path / "artifacts" / run.info.run_id / "artifacts" / "params.json"
    assert json.loads(stored.read_text()) == {"plans": {"patch_size": [40, 56]}, "api_token": "***"}


def test_a_value_longer_than_mlflow_takes_is_whole_in_the_artifact(in_memory: str, fold: Path, tmp_path: Path) -> None:
    long = "x" * 7000
    with tracker(in_memory, fold):
        start(fold, params={"transforms": long, **{f"p{n}": n for n in range(250)}})
    run = Tracked(in_memory, tmp_path).run
    assert len(run.data.params) == 251
    assert run.data.params["transforms"].endswith("x ... (7000 characters; whole in params.json)")
    stored = tmp_path / "artifacts" / run.info.run_id / "artifacts" / "params.json"
    assert json.loads(stored.read_text())["transforms"] == long


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError("bad"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_leaving_the_block_ends_the_run_as_the_block_ended(
    in_memory: str, fold: Path, tmp_path: Path, error: BaseException | None, status: str
) -> None:
    try:
        with tracker(in_memory, fold):
            start(fold)
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert Tracked(in_memory, tmp_path).run.info.status == status


def test_a_fold_that_never_wrote_a_record_has_no_run(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold) as following:
        report = following.finish("FAILED", contents={"learning_curve.png": b"x"})
    assert (report.run_id, report.n_sent, report.n_waiting, report.problem) == (None, 0, 0, None)
    assert Tracked(in_memory, tmp_path).runs == []
    assert not fold.exists()


def test_a_resumed_fold_goes_on_in_its_run_with_each_epoch_once(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold) as following:
        start(fold)
        train(fold, 0, 2)
        following.finish("KILLED")
    tracked = Tracked(in_memory, tmp_path)
    with tracker(in_memory, fold, tags={**TAGS, "dagster_run_id": "run-2"}) as following:
        truncate_after_epoch(journal_path(fold), 3)
        train(fold, 3, 3)
        wait_until(lambda: tracked.history("train_loss") == losses(3))
        assert tracked.run.info.status == "RUNNING"
        train(fold, 4, 4)
        report = following.finish("FINISHED")
    assert report.n_sent == 6
    assert tracked.history("train_loss") == losses(4)
    assert tracked.run.info.status == "FINISHED"
    assert tracked.run.data.tags["dagster_run_id"] == "run-2"
    assert "nnunet_assets.resumed_at" not in tracked.run.data.tags


def test_epochs_trained_again_are_told_by_a_tag(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold) as following:
        start(fold)
        train(fold, 0, 3)
        following.finish("KILLED")
    # The last checkpoint holds two epochs: epochs 2 and 3 are lost and trained again.
    with tracker(in_memory, fold) as following:
        truncate_after_epoch(journal_path(fold), 2)
        train(fold, 2, 4)
        report = following.finish("FINISHED")
    tracked = Tracked(in_memory, tmp_path)
    assert tracked.run.data.tags["nnunet_assets.resumed_at"] == "2"
    assert tracked.history("train_loss") == [(0, 0.0), (1, 0.1), (2, 0.2), (2, 0.2), (3, 0.3), (3, 0.3), (4, 0.4)]
    assert (report.n_sent, report.n_waiting) == (6, 0)


def test_a_parameter_that_a_resumption_changes_becomes_a_tag(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold) as following:
        start(fold, params={"num_epochs": 10, "lr": 0.1})
        following.finish("KILLED")
    with tracker(in_memory, fold) as following:
        start(fold, params={"num_epochs": 20, "lr": 0.1, "new": 1})
        report = following.finish("FINISHED")
    run = Tracked(in_memory, tmp_path).run
    assert run.data.params == {"num_epochs": "10", "lr": "0.1", "new": "1"}
    assert run.data.tags["nnunet_assets.changed_params"] == "num_epochs: 10 -> 20"
    assert (report.problem, report.n_refused) == (None, 0)


def test_a_new_training_of_the_fold_gets_a_run_of_its_own(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold):
        start(fold)
        train(fold, 0, 1)
    with tracker(in_memory, fold) as following:
        fold.rename(tmp_path / "superseded")
        start(fold, attempt="attempt-2")
        train(fold, 0, 0)
        following.finish("FINISHED")
    tracked = Tracked(in_memory, tmp_path)
    assert [run.data.tags["nnunet_assets.attempt"] for run in tracked.runs] == ["attempt-1", "attempt-2"]
    assert [run.info.status for run in tracked.runs] == ["FINISHED", "FINISHED"]
    assert tracked.history("train_loss", tracked.runs[1].info.run_id) == [(0, 0.0)]


def test_a_fold_that_was_finished_already_keeps_its_run_as_it_is(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold):
        start(fold)
        train(fold, 0, 1)
    before = Tracked(in_memory, tmp_path).run
    with tracker(in_memory, fold, tags={**TAGS, "dagster_run_id": "run-2"}) as following:
        report = following.finish("FINISHED", contents={"late.png": b"x"})
    after = Tracked(in_memory, tmp_path).run
    assert (after.info.end_time, after.data.tags) == (before.info.end_time, before.data.tags)
    assert (report.run_id, report.n_sent, report.problem) == (before.info.run_id, 3, None)


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_new_validation_that_fails_leaves_the_run_of_a_finished_fold_finished(
    in_memory: str, fold: Path, tmp_path: Path, status: Any
) -> None:
    with tracker(in_memory, fold):
        start(fold)
        train(fold, 0, 1)
        validate(fold)
    before = Tracked(in_memory, tmp_path).run
    with tracker(in_memory, fold) as following:  # the journal is as it was: the fold is finished with what it has
        assert following.finish(status, failure="crashed").problem is None
    after = Tracked(in_memory, tmp_path).run
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.info.end_time)
    assert after.data.to_dictionary() == before.data.to_dictionary()
    assert send_waiting(Destination(in_memory, tmp_path / "artifacts"), fold).is_done
    assert Tracked(in_memory, tmp_path).run.info.status == "FINISHED"


def test_a_fold_whose_watcher_was_stopped_after_its_end_is_finished_when_the_next_one_looks(
    in_memory: str, fold: Path, tmp_path: Path
) -> None:
    with tracker(in_memory, fold) as stopped:
        start(fold)
        train(fold, 0, 1)
        stopped.finish("KILLED", failure="interrupted")
    assert Tracked(in_memory, tmp_path).run.info.status == "KILLED"
    with tracker(in_memory, fold) as following:
        report = following.finish("FINISHED", contents={"late.png": b"x"})
    tracked = Tracked(in_memory, tmp_path)
    assert (tracked.run.info.status, tracked.run.data.metrics["epochs_trained"]) == ("FINISHED", 2.0)
    assert tracked.run.data.tags["nnunet_assets.failure"] == "none"
    assert tracked.history("train_loss") == losses(1)
    assert (len(tracked.runs), report.is_done) == (1, True)


def test_without_its_file_the_run_is_found_again_and_nothing_comes_twice(
    in_memory: str, fold: Path, tmp_path: Path
) -> None:
    with tracker(in_memory, fold):
        start(fold)
        train(fold, 0, 2)
    (fold / ".nnunet_assets" / "mlflow_run.json").unlink()
    with tracker(in_memory, fold) as following:
        train(fold, 3, 3)
        following.finish("FINISHED")
    assert Tracked(in_memory, tmp_path).history("train_loss") == losses(3)


def test_a_run_deleted_in_mlflow_is_made_anew_with_everything(in_memory: str, fold: Path, tmp_path: Path) -> None:
    from nnunet_assets.tracking.store.client import connect

    tracked = Tracked(in_memory, tmp_path)
    with tracker(in_memory, fold) as following:
        start(fold)
        train(fold, 0, 1)
        wait_until(lambda: bool(tracked.runs) and tracked.history("train_loss") == losses(1))
        connect(Destination(in_memory, tmp_path / "artifacts")).delete_run(tracked.run.info.run_id)
        train(fold, 2, 2)
        report = following.finish("FINISHED")
    assert tracked.history("train_loss") == losses(2)
    assert (tracked.run.data.params, report.problem) == ({"initial_lr": "0.01"}, None)


def test_two_that_send_the_same_fold_at_once_make_one_run(uri: str, fold: Path, tmp_path: Path) -> None:
    start(fold)
    train(fold, 0, 30)
    with tracker(uri, fold) as first, tracker(uri, fold) as second:
        reports = []
        threads = [
            threading.Thread(target=lambda one=one: reports.append(one.finish("FINISHED"))) for one in (first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [report.problem for report in reports] == [None, None]
    assert Tracked(uri, tmp_path).history("train_loss") == losses(30)


KILLED_WHILE_TRACKING = """
import os, signal, sys
from pathlib import Path
from nnunet_assets.core.fold.journal import journal_path
from nnunet_assets_tests.fakes.mlflow_client import InMemoryMlflow
from nnunet_assets_tests.tracking.folds import Tracked, start, tracker, train, wait_until
uri, fold = sys.argv[1], Path(sys.argv[2])
with tracker(uri, fold):
    start(fold)
    train(fold, 0, 1)
    tracked = Tracked(uri, fold.parent)
    wait_until(lambda: bool(tracked.runs) and len(tracked.history("train_loss")) == 2)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_fold_whose_parent_was_killed_is_completed_later_and_its_run_keeps_its_status(
    uri: str, fold: Path, tmp_path: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_TRACKING, uri, str(fold)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    train(fold, 2, 2)  # written by the training process before it followed its parent
    report = send_waiting(Destination(uri, tmp_path / "artifacts"), fold)
    assert (report.n_sent, report.n_waiting, report.problem) == (4, 0, None)
    tracked = Tracked(uri, tmp_path)
    assert tracked.history("train_loss") == losses(2)
    assert tracked.run.info.status == "RUNNING"


def test_sending_a_fold_that_was_never_tracked_says_so(in_memory: str, fold: Path, tmp_path: Path) -> None:
    start(fold)
    report = send_waiting(Destination(in_memory, tmp_path / "artifacts"), fold)
    assert (report.n_waiting, report.run_id) == (1, None)
    assert report.problem == f"{fold} was never tracked: train it with tracking on."


def test_a_store_that_cannot_be_used_is_a_problem_and_no_error(fold: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database")
    with tracker(f"sqlite:///{tmp_path}/mlflow.db", fold) as following:
        start(fold)
        report = following.finish("FINISHED")
    assert report.n_waiting == 1
    assert "is not an SQLite database" in str(report.problem)


def test_a_file_that_is_not_there_is_named_and_the_others_are_uploaded(
    in_memory: str, fold: Path, tmp_path: Path
) -> None:
    with tracker(in_memory, fold) as following:
        start(fold)
        report = following.finish("FINISHED", [fold / "progress.png"], {"curve.png": b"x"})
    assert report.problem == f"{fold}/progress.png was not uploaded: it is not there."
    assert Tracked(in_memory, tmp_path).files() == ["curve.png", "params.json"]


def test_what_only_the_end_knows_stands_at_the_last_epoch(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold) as following:
        start(fold)
        train(fold, 0, 2)
        report = following.finish("FINISHED")
    assert (report.n_sent, report.is_done) == (4, True)
    assert Tracked(in_memory, tmp_path).history("epochs_trained") == [(2, 3.0)]


def test_an_ending_that_comes_while_a_pass_is_under_way_is_of_the_last_epoch_all_the_same(
    in_memory: str, fold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure, keep = FoldSender._ensure_run, FoldSender.keep
    is_sending, is_kept = threading.Event(), threading.Event()

    def ensured(self: FoldSender, *given: Any) -> None:
        ensure(self, *given)
        is_sending.set()
        assert is_kept.wait(20)

    def kept(self: FoldSender, ending: Ending) -> None:
        keep(self, ending)
        is_kept.set()

    monkeypatch.setattr(FoldSender, "_ensure_run", ensured)
    monkeypatch.setattr(FoldSender, "keep", kept)
    with tracker(in_memory, fold) as following:
        start(fold)
        assert is_sending.wait(20)  # the journal was read, with no epoch in it
        train(fold, 0, 2)
        validate(fold)
        report = following.finish("FINISHED")
    assert (report.n_sent, report.is_done) == (5, True)
    tracked = Tracked(in_memory, tmp_path)
    assert tracked.history("epochs_trained") == [(2, 3.0)]
    assert tracked.history("val_dice_mean") == [(2, 0.87)]
    assert tracked.run.info.status == "FINISHED"


def test_a_copy_of_a_fold_whose_original_may_not_be_looked_into_is_no_failure(
    in_memory: str, fold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracker(in_memory, fold) as following:
        start(fold)
        following.finish("FINISHED")
    copy = tmp_path / "mine" / fold.name
    shutil.copytree(fold, copy)
    is_dir = Path.is_dir

    def refused(self: Path, **options: Any) -> bool:
        if self == fold:
            raise PermissionError(13, "Permission denied", str(self))
        return is_dir(self, **options)

    monkeypatch.setattr(Path, "is_dir", refused)
    report = send_waiting(Destination(in_memory, tmp_path / "artifacts"), copy)
    assert (report.problem, report.is_done) == (None, True)
    assert len(Tracked(in_memory, tmp_path).runs) == 2


def test_an_upload_that_is_under_way_is_no_server_that_is_down(in_memory: str, fold: Path) -> None:
    with tracker(in_memory, fold) as following:
        start(fold)
        following.finish("FINISHED", contents={"curve.png": b"x"})
    run = FoldRun.load(fold)
    assert run is not None
    run.files = ["checkpoint_final.pth"]
    run.save(fold)
    report = known_report(Destination(in_memory, fold.parent / "artifacts"), fold)
    assert (report.is_done, report.problem) == (False, "Not uploaded so far: checkpoint_final.pth.")


def test_a_value_that_is_no_number_is_named_and_the_others_are_sent(in_memory: str, fold: Path, tmp_path: Path) -> None:
    from nnunet_assets.core.fold.journal import append_record

    with tracker(in_memory, fold) as following:
        start(fold)
        append_record(journal_path(fold), "epoch", {"train_loss": 0.1, "phase": "warm-up", "Ä": 1, "ä": 2}, epoch=0)
        report = following.finish("FINISHED")
    assert Tracked(in_memory, tmp_path).run.data.metrics == {
        "train_loss": 0.1,
        "Ä": 1.0,
        "epochs_trained": 1.0,
        **UNTIMED,
    }
    assert "'phase' is 'warm-up', which is not a number" in str(report.problem)
    assert "'ä' differs from 'Ä' only in case" in str(report.problem)
    assert (report.n_waiting, report.n_refused) == (0, 0)


def test_a_damaged_line_is_named_and_what_was_sent_stays_sent(in_memory: str, fold: Path, tmp_path: Path) -> None:
    with tracker(in_memory, fold) as following:
        start(fold)
        train(fold, 0, 2)
        following.finish("KILLED")
    lines = journal_path(fold).read_bytes().splitlines(keepends=True)
    journal_path(fold).write_bytes(lines[0] + b"deadbeef" + lines[1][8:] + b"".join(lines[2:]))
    report = send_waiting(Destination(in_memory, tmp_path / "artifacts"), fold)
    assert "is damaged: it and the lines after it cannot be sent" in str(report.problem)
    tracked = Tracked(in_memory, tmp_path)
    assert tracked.history("train_loss") == losses(2)
    assert "nnunet_assets.resumed_at" not in tracked.run.data.tags


def test_a_thousand_waiting_epochs_go_in_few_batches(
    in_memory: str, fold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnunet_assets.core.fold.journal import append_record

    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    start(fold)
    for epoch in range(1000):
        append_record(journal_path(fold), "epoch", {"train_loss": 1 / (epoch + 1), "val_loss": 1.0}, epoch=epoch)
    monkeypatch.undo()
    calls = []
    whole = InMemoryMlflow.log_batch

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return whole(*arguments, **options)

    monkeypatch.setattr(InMemoryMlflow, "log_batch", counted)
    with tracker(in_memory, fold) as following:
        report = following.finish("FINISHED")
    assert (report.n_sent, report.problem) == (1001, None)
    assert len(Tracked(in_memory, tmp_path).history("train_loss")) == 1000
    assert len(calls) <= 5


def test_the_tracker_keeps_nothing_busy_while_the_journal_rests(in_memory: str, fold: Path) -> None:
    start(fold)
    before = threading.active_count()
    with tracker(in_memory, fold):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_loading_the_tracker_imports_no_mlflow() -> None:
    code = "import sys, nnunet_assets.tracking.fold.fold_tracker, nnunet_assets.tracking.assets.asset_runs\n"
    code += "print({'mlflow', 'pandas', 'torch', 'dagster'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_an_epoch_that_would_be_trained_again_after_a_kill_is_not_sent_before_a_checkpoint_holds_it(
    in_memory: str, fold: Path, tmp_path: Path
) -> None:
    # MLflow would keep both values.
    tracked = Tracked(in_memory, tmp_path)
    with tracker(in_memory, fold) as following:
        start(fold)
        saved_epochs_path(fold).write_text("2")
        train(fold, 0, 3)
        wait_until(lambda: bool(tracked.runs) and tracked.history("train_loss") == losses(1))
        saved_epochs_path(fold).write_text("4")
        wait_until(lambda: tracked.history("train_loss") == losses(3))
        train(fold, 4, 5)
        report = following.finish("KILLED")
    assert tracked.history("train_loss") == losses(3)
    assert (report.n_sent, report.n_waiting, report.problem) == (5, 0, None)


def test_a_journal_that_takes_long_to_read_is_looked_at_less_often(
    in_memory: str, fold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[float] = []

    def costly(*_: object, **__: object) -> bool:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        passes.append(time.monotonic())
        return True

    with tracker(in_memory, fold) as following:
        monkeypatch.setattr(following._sender, "send", costly)
        wait_until(lambda: len(passes) >= 3)
        assert passes[2] - passes[1] >= 0.02 / MAX_LOAD
