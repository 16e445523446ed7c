from pathlib import Path

import pytest

from nnunet_assets_tests.raw_builders import write_tiny_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good dataset of six cases, one channel, labels organ (8 voxels) and lesion (2 voxels) in each."""
    return write_tiny_dataset(tmp_path, n_cases=6)
