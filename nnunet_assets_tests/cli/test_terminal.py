"""Where a command's sentences go, and when it shows a bar."""

import sys

import click
import pytest

from nnunet_assets.cli import terminal
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.core import progress as progress_module
from nnunet_assets.core.training.trained_epoch import TrainedEpoch
from nnunet_assets_tests.fakes.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def test_sentences_go_to_standard_output_and_warnings_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    progress.say("Reading.")
    progress.relay("Epoch 0.")
    progress.warn("It waits.")
    assert capfd.readouterr() == ("Reading.\nEpoch 0.\n", "It waits.\n")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_log_has_the_first_epoch_the_last_and_some_between_and_a_terminal_has_all(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], clock: Clock
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    progress = TerminalProgress()
    for epoch in range(40, 100):  # it goes on with an interrupted one
        progress.epoch(TrainedEpoch(epoch, 100, {"val_loss": 0.5}))
        clock.seconds += 12.0
    progress.epoch(TrainedEpoch(0, 100, {}))  # of the next fold
    *shown, next_one = [int(line.split()[1]) for line in capfd.readouterr().out.splitlines()]
    assert next_one == 0
    # A twentieth of 100 is 5.
    assert shown == list(range(40, 100)) if is_terminal else [40, *range(45, 100, 5), 99]


def test_a_log_has_lines_of_what_is_counted(capfd: pytest.CaptureFixture[str], clock: Clock) -> None:
    with TerminalProgress() as progress:
        for n_done in range(11):
            progress.step("cases read", n_done, 10)
            clock.seconds += 40
    lines = capfd.readouterr().out.splitlines()
    assert (lines[0], lines[-1]) == ("1 of 10 cases read, about 6 min left.", "10 of 10 cases read.")
    assert len(lines) == 10


def test_beside_a_result_in_json_everything_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress(to_stderr=True)
    progress.say("Reading.")
    progress.epoch(TrainedEpoch(0, 10, {}))
    assert capfd.readouterr() == ("", "Reading.\nEpoch 0 (1 of 10): \n")


@pytest.mark.parametrize(
    ("quiet_seconds", "is_terminal", "is_shown"), [(0, True, True), (60, True, False), (0, False, False)]
)
def test_a_bar_is_for_terminals_and_for_what_takes_long(
    quiet_seconds: float,
    is_terminal: bool,
    is_shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(terminal, "QUIET_SECONDS", quiet_seconds)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes a pipe for a terminal
    with TerminalProgress() as progress:
        progress.step("cases read", 3, 20)
        progress.say("Reading.")
    out, err = capfd.readouterr()
    assert ("cases read" in err, out) == (is_shown, "Reading.\n")
    assert is_shown or not err


@pytest.mark.parametrize("columns", [None, "40", "200"])
def test_a_sentence_is_one_line_whatever_the_width_so_that_a_path_in_it_can_be_copied(
    columns: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if columns:  # as of a terminal
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    path = "/scratch/a folder/" + "of_a_cluster/" * 30 + "[fold_0]"
    sentence = f"{'It is a long sentence. ' * 10}Tables: {path}."
    terminal.console().print(sentence)
    print_table(terminal.console(), [{"name": "x" * 30, "dice": "0.5"}], ["name"], sentence)
    lines = capfd.readouterr().out.splitlines()
    assert lines[:2] == [sentence] * 2
    assert max(len(click.unstyle(line)) for line in lines[2:]) <= int(columns or 200)
