"""Whoever hears of progress: nobody, Python's logging, and the recorder of the tests."""

import logging

import pytest

from nnunet_assets.core.progress import LOGGED, Logged, Progress, Silent
from nnunet_assets_tests.recorded_progress import RecordedProgress


def report(progress: Progress) -> None:
    progress.say("Reading.")
    progress.warn("It waits.")
    progress.relay("Epoch 0.")
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
    assert (progress.said, progress.warned, progress.relayed) == (["Reading."], ["It waits."], ["Epoch 0."])
    assert progress.steps == [("cases read", 3, 20)]
