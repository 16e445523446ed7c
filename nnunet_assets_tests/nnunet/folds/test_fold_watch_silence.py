import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.nnunet.folds import fold_watch
from nnunet_assets.nnunet.folds.fold_watch import Heartbeat
from nnunet_assets_tests.recorded_progress import RecordedProgress

HOUR = 3600


@pytest.fixture
def fold(tmp_path: Path) -> Any:
    append_record(journal_path(tmp_path), "start", {})
    return tmp_path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets so many seconds pass, which no file sees."""
    real = time.monotonic
    return lambda seconds: monkeypatch.setattr(time, "monotonic", lambda: real() + seconds)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the clock on by so many seconds, or back."""
    real = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: real() + seconds)


def written(path: Any, seconds: float) -> None:
    """Dates a file on by so many seconds: the clock of the file system lags by a tick."""
    os.utime(path, (path.stat().st_mtime + seconds,) * 2)


def test_a_long_silence_is_said_once_with_what_was_going_on(fold: Any, later: Any) -> None:
    said: list[str] = []
    watch = Heartbeat(fold, RecordedProgress(said.append), look_seconds=0)
    append_record(journal_path(fold), "epoch", {"train_loss": 1.0}, 0)
    written(journal_path(fold), 1)
    later(60)
    watch.look()
    assert said == []
    later(HOUR)
    watch.look()
    watch.look()
    assert len(said) == 1
    assert "for more than 30 minutes, while training, after epoch 0. It goes on" in said[0]

    (fold / "validation").mkdir()
    (fold / "validation" / "case_1.nii.gz").touch()
    written(fold / "validation", 2)
    watch.look()
    later(2 * HOUR)
    watch.look()
    assert "while predicting the validation cases (1 files written)" in said[1]


def test_the_files_of_an_earlier_attempt_are_no_silence(fold: Any, later: Any) -> None:
    os.utime(journal_path(fold), (0, 0))
    said: list[str] = []
    watch = Heartbeat(fold, RecordedProgress(said.append), look_seconds=0)
    watch.look()
    assert said == []
    later(HOUR)
    watch.look()
    assert "while starting" in said[0]


@pytest.mark.parametrize("seconds", [-HOUR, HOUR, -24 * HOUR, 365 * 24 * HOUR])
def test_a_clock_that_is_set_is_no_silence_and_hides_none(fold: Any, later: Any, set_clock: Any, seconds: Any) -> None:
    said: list[str] = []
    watch = Heartbeat(fold, RecordedProgress(said.append), look_seconds=0)
    set_clock(seconds)
    watch.look()
    assert said == []
    later(HOUR)
    watch.look()
    assert len(said) == 1


def test_the_files_are_not_looked_at_more_often_than_asked(fold: Any, later: Any) -> None:
    said: list[str] = []
    watch = Heartbeat(fold, RecordedProgress(said.append), look_seconds=2 * HOUR)
    later(HOUR)
    watch.look()
    assert said == []


def test_a_disk_that_does_not_answer_is_looked_at_again_later(
    fold: Any, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    watch = Heartbeat(fold, RecordedProgress(said.append), look_seconds=0)
    later(HOUR)
    with monkeypatch.context() as broken:
        broken.setattr(fold_watch, "_signs", unanswered)
        watch.look()
    assert said == []
    watch.look()
    assert len(said) == 1


def unanswered(*_: Any) -> None:
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
