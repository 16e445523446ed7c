"""A real Slurm for the tests that need one: the same for all of them, and none where it is not installed."""

from collections.abc import Iterator

import pytest

from nnunet_assets_tests.engines.real_slurm import RealSlurm, lack, real_slurm


@pytest.fixture(scope="session")
def any_slurm() -> Iterator[RealSlurm]:
    if reason := lack():
        pytest.skip(reason)
    with real_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(any_slurm: RealSlurm) -> Iterator[RealSlurm]:
    """A Slurm without a job, before the test and after it."""
    any_slurm.wait_until_idle()
    yield any_slurm
    any_slurm.wait_until_idle()
