"""What a report of `sync` says of folds that wait."""

from pathlib import Path

from nnunet_assets.tracking.fold.fold_tracker import TrackingReport
from nnunet_assets.workflows.fold.sync import SyncReport

SENT = TrackingReport("1", "1", None, 3, 0, 0, None, is_done=True)
REFUSED = TrackingReport("1", "1", None, 3, 0, 1, "1 record was refused.", is_done=True)
WAITING = TrackingReport(None, None, None, 0, 3, 0, "No answer yet.", is_done=False)
FOLDS = {Path("fold_0"): SENT, Path("fold_1"): REFUSED, Path("fold_2"): WAITING}


def test_a_fold_waits_until_nothing_is_left_to_try() -> None:
    assert (SyncReport(FOLDS).n_waiting, SyncReport({}).n_waiting) == (1, 0)


def test_what_is_wrong_with_mlflow_is_why_a_fold_waits_and_not_why_a_record_was_refused() -> None:
    down = SyncReport(FOLDS, "MLflow is not reachable.")
    assert [down.problem_of(fold) for fold in FOLDS] == [None, "1 record was refused.", "MLflow is not reachable."]
    assert [SyncReport(FOLDS).problem_of(fold) for fold in FOLDS] == [None, "1 record was refused.", "No answer yet."]
