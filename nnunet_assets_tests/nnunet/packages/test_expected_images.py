"""What a model says of the images that it was trained on."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.model.model_description import ExpectedChannel
from nnunet_assets.nnunet.packages.expected_images import expected_images
from nnunet_assets_tests.package_builders import DATASET_JSON, FINGERPRINT, PLANS
from nnunet_assets_tests.raw_builders import write_json


def write(folder: Path, fingerprint: Any = FINGERPRINT, **plans: Any) -> Path:
    write_json(folder / "dataset.json", DATASET_JSON)
    write_json(folder / "plans.json", {**PLANS, **plans})
    if fingerprint is not None:
        write_json(folder / "dataset_fingerprint.json", fingerprint)
    return folder


def test_ranges_are_over_all_training_cases(tmp_path: Path) -> None:
    found = expected_images(write(tmp_path), "2d", 2)
    assert found.channels == (ExpectedChannel("CT", "CTNormalization", -900.0, 400.5, 20.0, 100.0),)
    assert (found.spacing_low, found.spacing_median, found.spacing_high) == (
        (2, 0.5, 0.75),
        (3, 0.75, 0.875),
        (4, 1, 1),
    )
    assert (found.file_ending, found.n_cases) == (".nii.gz", 2)


def test_a_configuration_has_what_it_inherits(tmp_path: Path) -> None:
    assert expected_images(write(tmp_path), "2d_large").channels[0].normalization == "CTNormalization"


@pytest.mark.parametrize(
    "fingerprint",
    [
        None,
        {},
        {"spacings": []},
        {"spacings": [[1, 1]]},
        {"spacings": [[1, 1, "1"]]},
        {"spacings": [[1, 1, float("nan")]]},
    ],
)
def test_a_fingerprint_that_says_nothing_proves_nothing(tmp_path: Path, fingerprint: Any) -> None:
    found = expected_images(write(tmp_path, fingerprint), "2d")
    assert (found.spacing_low, found.spacing_median, found.spacing_high) == (None, None, None)


def test_intensities_that_are_not_known_or_no_numbers_are_none(tmp_path: Path) -> None:
    nan = {"0": {"mean": float("nan"), "std": True, "percentile_00_5": "1"}}
    (channel,) = expected_images(write(tmp_path, foreground_intensity_properties_per_channel=nan), "2d").channels
    assert channel == ExpectedChannel("CT", "CTNormalization", None, None, None, None)
    (channel,) = expected_images(write(tmp_path, foreground_intensity_properties_per_channel={}), "2d").channels
    assert channel.low is None
