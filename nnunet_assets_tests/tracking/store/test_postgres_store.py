"""MLflow's tables in PostgreSQL, while somebody else makes them; a real server is in `faults/test_postgres.py`."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from nnunet_assets.tracking.store import postgres_store
from nnunet_assets.tracking.store.postgres_store import OtherTablesError, open_postgres_store

URI = "postgresql+psycopg2://someone@127.0.0.1/mlflow"
HALF_MADE = OtherTablesError("were made by another version")


@pytest.mark.parametrize(
    ("looks", "n_locks"), [(["all"], 0), ([[], []], 1), ([HALF_MADE, "all"], 1), ([HALF_MADE, HALF_MADE], 1)]
)
def test_tables_that_are_not_whole_are_looked_at_again_when_nobody_makes_them(
    looks: list[Any], n_locks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor, left = MagicMock(), list(looks)

    def look(url: object) -> SimpleNamespace:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(tables=found)

    monkeypatch.setattr(postgres_store, "look_at_store", look)
    monkeypatch.setattr(postgres_store, "_open", lambda uri: uri)
    connection = MagicMock(**{"cursor.return_value": nullcontext(cursor)})
    monkeypatch.setattr(postgres_store, "connected", lambda url, name: nullcontext(connection))
    if looks[-1] is HALF_MADE:
        with pytest.raises(OtherTablesError):
            open_postgres_store(URI)
    else:
        assert open_postgres_store(URI) == URI
    assert (left, cursor.execute.call_count) == ([], n_locks)
