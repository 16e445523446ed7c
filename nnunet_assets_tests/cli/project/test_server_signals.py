"""What ends the servers, whatever the shell that they were started from."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from nnunet_assets.cli.project.servers import answer_signals

# As Dagster's servers do, see `setup_interrupt_handlers` of Dagster.
SERVER = """
import signal, time
signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _in_the_background() -> Iterator[None]:
    """A shell without job control starts programs with SIGINT ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_server_that_a_script_in_the_background_starts_can_be_terminated() -> None:
    answer_signals()
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "up\n"
        server.terminate()
        try:
            assert server.wait(10) != 0
        finally:
            server.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_dev_is_as_ctrl_c(number: signal.Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    answer_signals()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_under_nohup_the_end_of_the_terminal_ends_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    answer_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
