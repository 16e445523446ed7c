"""Folders that take seconds to fill, made once for all processes of a run of the tests."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets_tests.side_by_side import MADE_ONCE


@contextmanager
def made_once(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """Yields a folder that all test processes of a run share, and whether it is still to be filled."""
    shared = Path(os.environ.get(MADE_ONCE) or tmp_path_factory.getbasetemp())
    folder, whole = shared / name, shared / f"{name}.whole"
    with kernel_lock(shared / f"{name}.lock"):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder, not whole.exists()
        whole.touch()
