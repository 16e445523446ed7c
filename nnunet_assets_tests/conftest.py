"""What holds for every test."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine is slow now and then: a timing is no property of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A shell that runs the tests in the background has SIGINT ignored. Dagster gives SIGTERM what SIGINT has; what tests
# start inherits that, and pools that nnU-Net ends by SIGTERM would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOWEST = ("test_end_to_end.py", "test_fold_process.py", "test_servers.py", "test_tracked_trainer.py")
"""They go first: side by side with the others, nobody waits for them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the slowest files begin."""
    rank = {name: index for index, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(Path(item.path).name, len(SLOWEST)))
