"""What the log of a Dagster run says of progress."""

import logging

import pytest

from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.core import progress as module
from nnunet_assets.core.training.trained_epoch import TrainedEpoch
from nnunet_assets_tests.fakes.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def progress(caplog: pytest.LogCaptureFixture) -> LogProgress:
    caplog.set_level(logging.INFO)
    return LogProgress(logging.getLogger("a run"))


def test_sentences_have_their_levels_and_what_pipes_bring_is_not_said_twice(
    progress: LogProgress, caplog: pytest.LogCaptureFixture
) -> None:
    progress.say("Reading.")
    progress.relay("Epoch 0.")
    progress.epoch(TrainedEpoch(0, 10, {}))
    progress.warn("It waits.")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "Reading."),
        ("WARNING", "It waits."),
    ]


def test_what_a_job_reports_is_logged_where_pipes_bring_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress = LogProgress(logging.getLogger("a run"), relays=True)
    progress.relay("The training begins.")
    progress.epoch(TrainedEpoch(0, 10, {}))
    assert [record.message for record in caplog.records] == [
        "The training begins.",
        str(TrainedEpoch(0, 10, {})),
    ]


def test_a_line_in_half_a_minute_at_most_says_how_long_the_rest_takes(
    progress: LogProgress, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for n_done in range(0, 101, 10):  # 10 cases in 15 s
        progress.step("cases read", n_done, 100)
        clock.seconds += 15
    assert caplog.messages == [
        "20 of 100 cases read, about 2 min left.",
        "40 of 100 cases read, about 2 min left.",
        "60 of 100 cases read, about 1 min left.",
        "80 of 100 cases read, about 1 min left.",
        "100 of 100 cases read.",
    ]


def test_what_takes_less_is_not_talked_about(
    progress: LogProgress, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for n_done in range(20):
        progress.step("cases read", n_done, 20)
        clock.seconds += 1
    assert caplog.messages == []


def test_a_wait_before_the_first_case_and_cases_of_an_earlier_run_do_not_count_for_the_time_that_is_left(
    progress: LogProgress, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    progress.step("cases are preprocessed for 2d", 500, 1000)  # made by the run before
    clock.seconds += 3600
    progress.step("cases predicted", 0, 100)
    clock.seconds += 7200  # waiting for a GPU
    progress.step("cases predicted", 0, 100)
    clock.seconds += 60
    progress.step("cases predicted", 10, 100)
    clock.seconds += 60
    progress.step("cases are preprocessed for 2d", 900, 1000)
    clock.seconds += 60
    progress.step("cases are preprocessed for 2d", 950, 1000)
    assert caplog.messages == [
        "10 of 100 cases predicted, about 9 min left.",
        "950 of 1000 cases are preprocessed for 2d, about 1 min left.",
    ]
