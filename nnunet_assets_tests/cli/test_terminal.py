"""Where a command's sentences go, and when it shows a bar."""

import pytest

from nnunet_assets.cli import terminal
from nnunet_assets.cli.terminal import TerminalProgress


def test_sentences_go_to_standard_output_and_warnings_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    progress.say("Reading.")
    progress.relay("Epoch 0.")
    progress.warn("It waits.")
    assert capfd.readouterr() == ("Reading.\nEpoch 0.\n", "It waits.\n")


def test_beside_a_result_in_json_everything_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress(to_stderr=True)
    progress.say("Reading.")
    progress.relay("Epoch 0.")
    assert capfd.readouterr() == ("", "Reading.\nEpoch 0.\n")


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
    monkeypatch.setenv("FORCE_COLOR", "1" if is_terminal else "")  # by which rich takes a pipe for a terminal
    with TerminalProgress() as progress:
        progress.step("cases read", 3, 20)
        progress.say("Reading.")
    out, err = capfd.readouterr()
    assert ("cases read" in err, out) == (is_shown, "Reading.\n")
