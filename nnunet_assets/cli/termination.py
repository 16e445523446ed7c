"""SIGTERM, which a cluster or `timeout` sends, as Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def terminated_as_by_ctrl_c() -> Iterator[None]:
    """Makes SIGTERM end what runs, and its MLflow run, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
