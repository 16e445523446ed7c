"""Revisions of databases, read once by a process of tests.

Dagster and MLflow ask Alembic for the newest revision of a database whenever they open one, and it loads every file of
revisions for each question: ten times where a project is made, and for each run that Dagster keeps in files.
"""

from collections.abc import Iterator
from functools import cache
from types import ModuleType

import pytest


@pytest.fixture(scope="session", autouse=True)
def revisions_loaded_once() -> Iterator[None]:
    """Has this process load each file of revisions once; what runs them, `env.py`, runs each time."""
    from alembic import util

    load = util.load_python_file
    load_once = cache(load)

    def loaded(folder: str, file: str) -> ModuleType:
        return load(folder, file) if file == "env.py" else load_once(folder, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(util, "load_python_file", loaded)
        yield
