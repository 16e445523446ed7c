"""What tests log, caught for those that ask for it.

pytest's own plugin, which `pyproject.toml` turns off, hangs handlers on every logger that does not propagate, six times
a test: 1.5 ms each where Dagster, MLflow and torch have made theirs.
"""

import logging
from collections.abc import Iterator

import pytest
from _pytest.logging import LogCaptureHandler, caplog_handler_key


@pytest.fixture
def caplog(request: pytest.FixtureRequest) -> Iterator[pytest.LogCaptureFixture]:
    """pytest's fixture: records, messages and levels of what propagates to the root."""
    handler = request.node.stash[caplog_handler_key] = LogCaptureHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    caught = pytest.LogCaptureFixture(request.node, _ispytest=True)
    yield caught
    caught._finalize()
    logging.getLogger().removeHandler(handler)
