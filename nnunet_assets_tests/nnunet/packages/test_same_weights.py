"""Whether two checkpoints are one network."""

from pathlib import Path

import pytest

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages.same_weights import have_same_weights
from nnunet_assets.nnunet.packages.slim_checkpoint import write_slim_checkpoint
from nnunet_assets_tests.package_builders import EXPERIMENT, weights_of, write_checkpoint


def test_a_slim_checkpoint_is_the_network_that_it_was_made_of(tmp_path: Path) -> None:
    full, slim, other = (tmp_path / f"{name}.pth" for name in ("full", "slim", "other"))
    write_checkpoint(full, EXPERIMENT, 1.5)
    write_slim_checkpoint(full, slim)
    assert have_same_weights(full, slim)
    write_checkpoint(other, EXPERIMENT, 1.5000001)
    assert not have_same_weights(full, other)
    write_checkpoint(other, EXPERIMENT, 1.5, network_weights={"encoder.bias": weights_of(1.5)["encoder.bias"]})
    assert not have_same_weights(full, other)


def test_what_is_no_number_is_itself(tmp_path: Path) -> None:
    one, other = (tmp_path / f"{name}.pth" for name in ("one", "other"))
    for file in (one, other):
        write_checkpoint(file, EXPERIMENT, float("nan"))
    assert have_same_weights(one, other)


def test_what_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    full, torn = tmp_path / "full.pth", tmp_path / "torn.pth"
    write_checkpoint(full, EXPERIMENT, 1.0)
    torn.write_bytes(full.read_bytes()[:500])
    with pytest.raises(PackageError, match="cannot be read as the weights of a network"):
        have_same_weights(full, torn)
