"""A model with a finished fold of two, and its summary."""

from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.workflows.results.exports import EXPERIMENT, FOLDS


@pytest.fixture
def finished(tmp_path: Path) -> Settings:
    """A finished fold of two cases, which is not summarized, and whose predictions are not evaluated yet."""
    settings = Settings.from_environment(tmp_path, {})
    write_fold(settings.roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER})
    return settings


@pytest.fixture
def summarized(finished: Settings) -> Roots:
    """The same with its summary."""
    make_summary(finished.roots, EXPERIMENT, FOLDS)
    return finished.roots
