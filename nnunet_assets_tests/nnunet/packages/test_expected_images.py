"""What a model says of the images that it was trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.model.model_description import ExpectedChannel
from nnunet_assets.nnunet.packages.expected_images import expected_images
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets_tests.package_builders import (
    ABOUT,
    DATASET_JSON,
    EXPERIMENT,
    FINGERPRINT,
    PLANS,
    cascade,
    model_of,
    write_model,
)
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


@pytest.mark.parametrize("kind", ["single", "cascade", "ensemble"])
def test_a_package_that_is_packed_again_knows_the_same(tmp_path: Path, kind: str) -> None:
    variant = replace(EXPERIMENT, variant="short")
    members = {
        "single": lambda: [write_model(tmp_path)],
        "cascade": lambda: [cascade(tmp_path)],
        "ensemble": lambda: [write_model(tmp_path), write_model(tmp_path, variant)],
    }[kind]()
    first = write_package(model_of(*members), ABOUT, tmp_path / "first")
    assert first.description.images.spacing_high == (4, 1, 1)
    again = write_package(first.usable, replace(ABOUT, n_cases=None), tmp_path / "again")
    assert again.description.images == first.description.images
    assert write_package(again.usable, ABOUT, tmp_path / "third").description.files == first.description.files


def test_a_package_that_was_left_beside_other_plans_says_nothing_of_them(tmp_path: Path) -> None:
    package = write_package(model_of(write_model(tmp_path / "model")), ABOUT, tmp_path / "package").folder
    write_json(package / "plans.json", {**PLANS, "plans_name": "nnUNetResEncUNetLPlans"})
    assert expected_images(package, "2d").spacing_low is None
    (package / "model.json").write_text("{")
    assert expected_images(package, "2d").spacing_low is None
