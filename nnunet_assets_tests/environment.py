"""The environment of a test, which is not the developer's own."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nnunet_assets.tracking.store.client import prepare_environment

OF_A_PROJECT = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI", "DAGSTER_HOME")
"""Where a developer's own projects keep their things."""


@contextmanager
def environment_without(names: Iterable[str]) -> Iterator[None]:
    """Takes variables away and bounds how long MLflow waits; what is set meanwhile ends with the block."""
    before = dict(os.environ)
    for name in names:
        os.environ.pop(name, None)
    prepare_environment()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
