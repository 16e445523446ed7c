"""Processes that begin the same thing in the same moment; none imports for seconds what all of them need."""

import subprocess
import sys
from pathlib import Path

FORKED = """
import os, sys
{imports}
gate, holder = os.pipe()
children = []
for _ in range({n}):
    if not (child := os.fork()):
        os.close(holder)
        os.read(gate, 1)
        exec({code!r})
        sys.exit()
    children.append(child)
os.close(holder)
sys.exit(sum(os.waitpid(child, 0)[1] for child in children) > 0)
"""
"""Forks when all is imported and lets all go at one time: nothing but what the code does is raced for."""

WITH_STORES = """
from nnunet_assets.tracking.store.client import prepare_environment
from nnunet_assets.tracking.store.sqlite_store import import_store
prepare_environment()
import_store()
from sqlalchemy.orm import configure_mappers
configure_mappers()
"""
"""Imports and prepares all that MLflow opens an SQLite store with."""


def run_at_once(n: int, code: str, *arguments: str | Path, imports: str) -> str:
    """Runs the code in so many processes, with `arguments` behind `sys.argv[0]`, and returns what they wrote.

    Raises:
        AssertionError: One of them failed.
    """
    command = [sys.executable, "-W", "ignore", "-c", FORKED.format(imports=imports, n=n, code=code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
