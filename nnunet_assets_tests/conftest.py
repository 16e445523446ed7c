"""What holds for every test."""

from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine is slow now and then: a timing is no property of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

SLOWEST = ("test_end_to_end.py", "test_fold_process.py", "test_servers.py", "test_tracked_trainer.py")
"""They go first: side by side with the others, nobody waits for them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the slowest files begin."""
    rank = {name: index for index, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(Path(item.path).name, len(SLOWEST)))
