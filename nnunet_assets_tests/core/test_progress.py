"""Whoever hears of progress: nobody, Python's logging, and the recorder of the tests."""

import logging

import pytest

from nnunet_assets.core import progress as module
from nnunet_assets.core.progress import LOGGED, Count, Logged, Progress, Silent
from nnunet_assets.core.training.trained_epoch import TrainedEpoch
from nnunet_assets_tests.fakes.clock import Clock
from nnunet_assets_tests.recorded_progress import RecordedProgress

BEGUN = ["The training begins.", "Epoch 0: val loss 0.5000"]


def report(progress: Progress) -> None:
    progress.say("Reading.")
    progress.warn("It waits.")
    progress.relay("The training begins.")
    progress.epoch(TrainedEpoch(0, None, {"val_loss": 0.5}))
    progress.step("cases read", 3, 20)


def test_what_is_logged_is_sentences_at_their_levels_and_no_count(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="a.logger"):
        report(Logged(logging.getLogger("a.logger")))
    assert caplog.record_tuples == [
        ("a.logger", logging.INFO, "Reading."),
        ("a.logger", logging.WARNING, "It waits."),
    ]


def test_a_library_that_nobody_gave_a_face_logs_under_the_packages_name(caplog: pytest.LogCaptureFixture) -> None:
    LOGGED.warn("It waits.")
    assert caplog.record_tuples == [("nnunet_assets", logging.WARNING, "It waits.")]


def test_the_silent_one_says_nothing(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        report(Silent())
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_the_recorder_keeps_each_kind_apart() -> None:
    progress = RecordedProgress()
    report(progress)
    assert (progress.said, progress.warned, progress.relayed) == (["Reading."], ["It waits."], BEGUN)
    assert progress.steps == [("cases read", 3, 20)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def lines_of(clock: Clock, n: int, seconds_each: float) -> list[str]:
    """Returns the lines that a log has of a count whose steps take that long each."""
    count, lines = Count(), []
    for n_done in range(n + 1):
        count.take("done", n_done, n)
        lines += [str(count)] if count.is_due() else []
        clock.seconds += seconds_each
    return lines


@pytest.mark.parametrize(
    ("n", "seconds_each", "n_lines"),
    [
        (1000, 60.0, 34),  # one in half an hour, and the end
        (1000, 6.0, 20),  # one a twentieth
        (1000, 0.1, 3),  # one in half a minute
        (1000, 0.02, 0),
        (10, 3600.0, 10),
        (1, 29.0, 0),
        (1, 31.0, 1),
    ],
)
def test_a_log_has_lines_neither_too_many_nor_too_far_between(
    clock: Clock, n: int, seconds_each: float, n_lines: int
) -> None:
    lines = lines_of(clock, n, seconds_each)
    assert len(lines) == n_lines
    if seconds_each > 1 and lines:
        assert lines[-1] == f"{n} of {n} done"


def test_the_time_that_is_left_goes_by_the_share_of_the_work(clock: Clock) -> None:
    count = Count()
    assert count.seconds_left is None
    count.take("cases predicted", 0, 3, 0.0)
    clock.seconds += 60
    count.take("cases predicted", 1, 3, 0.75)  # the large one
    assert count.seconds_left == pytest.approx(20.0)
    assert str(count) == "1 of 3 cases predicted, about 1 min left"
    count.take("cases predicted again", 10, 20, 0.6)  # a part was done before
    clock.seconds += 10
    count.take("cases predicted again", 15, 20, 0.8)
    assert count.seconds_left == pytest.approx(10.0)
    clock.seconds += 30
    count.take("cases read", 1, 100)  # what came before says nothing of it
    assert count.seconds_left is None
    count.take("none", 0, 0)
    assert str(count) == "0 of 0 none"


def test_the_end_is_said_once_and_what_does_not_go_on_is_not_said(clock: Clock) -> None:
    count = Count()
    for n_done, is_due in ((0, False), (3, True), (3, False), (10, True), (10, False)):
        clock.seconds += 3600.0
        count.take("done", n_done, 10)
        assert count.is_due() == is_due, n_done


def test_a_count_of_nothing_yet_is_none(clock: Clock) -> None:
    count = Count()
    clock.seconds += 3600.0
    assert (str(count), count.seconds_left, count.is_due()) == ("0 of 0 ", None, False)


def test_each_step_says_whether_it_begins_a_count(clock: Clock) -> None:
    count = Count()
    steps = [
        ("a", 0, 4),
        ("a", 1, 4),
        ("a", 1, 4),
        ("a", 2, 4),
        ("a", 1, 4),
        ("a", 1, 5),
        ("b", 1, 5),
        ("b", 2, 5),
        ("b", 0, 5),
    ]
    assert [count.take(*step) for step in steps] == [True, False, False, False, True, True, True, False, True]
    # The time that is left is that of the count that was begun.
    clock.seconds += 100
    count.take("b", 1, 5)
    assert count.seconds_left == pytest.approx(400.0)


def test_a_count_of_nothing_is_done_at_once_and_its_share_whole(clock: Clock) -> None:
    count = Count()
    count.take("a", 0, 0)
    clock.seconds += 3600.0
    assert (count.seconds_left, count.is_due()) == (None, False)
    count.take("b", 0, 2, 0.5)
    clock.seconds += 3600.0
    count.take("b", 1, 2, 0.25)  # the work grew meanwhile
    assert (count.seconds_left, count.is_due()) == (None, False)
    assert str(count) == "1 of 2 b"


@pytest.mark.parametrize(("seconds", "minutes"), [(20, 1), (60, 1), (91, 2), (150, 2), (210, 4), (3600, 60)])
def test_what_is_left_is_said_in_minutes_and_at_least_one(clock: Clock, seconds: float, minutes: int) -> None:
    count = Count()
    count.take("a", 0, 2)
    clock.seconds += seconds
    count.take("a", 1, 2)
    assert str(count) == f"1 of 2 a, about {minutes} min left"
    count.take("a", 2, 2)
    assert str(count) == "2 of 2 a"


@pytest.mark.parametrize(
    ("share", "seconds", "is_due"),
    [
        (0.05, 30.0, True),
        (0.05, 29.9, False),
        (0.0499, 30.0, False),
        (0.0499, 1799.0, False),
        (0.0499, 1800.0, True),
        (0.0, 1800.0, False),
    ],
)
def test_a_line_is_due_by_share_or_by_silence(clock: Clock, share: float, seconds: float, is_due: bool) -> None:
    count = Count()
    count.take("a", 1, 9, 0.5)
    clock.seconds += seconds
    count.take("a", 2, 9, 0.5 + share)
    assert count.is_due() is is_due
    # What was shown is not shown again.
    clock.seconds += 30.0
    assert not count.is_due() or not is_due
