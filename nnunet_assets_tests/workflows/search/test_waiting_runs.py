"""What waits of trials is sent, and who has sent everything, or was never tracked, costs no question."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.search import waiting_runs as module
from nnunet_assets.workflows.search.waiting_runs import send_what_waits


def fold(folder: Path, settings: Settings, *, is_sent: bool) -> Path:
    append_record(journal_path(folder), "start", {"attempt": "1", "params": {}})
    append_record(journal_path(folder), "epoch", {"pseudo_dice_ema": 0.1}, 0)
    run = FoldRun(settings.tracking_uri, "D", "run", {}, attempt="1", ending=Ending("KILLED", 5, []))
    if is_sent:
        times = [record.time_ms for record in read_records(journal_path(folder))]
        run.sent, run.is_closed, run.run_id, run.experiment_id = times, True, "7", "1"
    run.save(folder)
    return folder


def test_folds_that_wait_are_sent_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.from_environment(tmp_path, {})
    asked: list[Any] = []

    class Report:
        n_waiting = 1

    def sync(_: object, __: object, folds: list[Path], seconds: float) -> Report:
        asked.append((folds, seconds))
        return Report()

    monkeypatch.setattr(module, "sync", sync)
    (tmp_path / "none").mkdir()
    waits, sent = fold(tmp_path / "a", settings, is_sent=False), fold(tmp_path / "b", settings, is_sent=True)
    destination = Destination.of(settings)
    assert send_what_waits(settings, destination, [waits, sent, tmp_path / "none"], timeout_seconds=9) == 1
    assert asked == [([waits], 9)]
    assert send_what_waits(settings, destination, [sent], timeout_seconds=9) == 0
    assert len(asked) == 1
