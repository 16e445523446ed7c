"""Test sets on disk, good and spoiled in one way each: what is refused before anything is predicted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.predictions.checked_test_set import CheckedTestSet, read_test_set
from nnunet_assets_tests.raw_builders import (
    DATASET,
    SPACING_MM,
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_volume,
)
from nnunet_assets_tests.training_builders import roots_in

CHANNELS = {"0": "T1", "1": "T2"}


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Two test cases of two channels, with references."""
    roots = roots_in(tmp_path)
    folder = roots.raw / DATASET
    write_json(folder / "dataset.json", tiny_json(channel_names=CHANNELS))
    for index, case in enumerate(("new_a", "new_b")):
        for channel in range(2):
            write_volume(folder / "imagesTs" / f"{case}_000{channel}.nii.gz", tiny_image(10 * index + channel))
        write_volume(folder / "labelsTs" / f"{case}.nii.gz", tiny_label())
    return roots


def read(roots: Roots) -> CheckedTestSet:
    return read_test_set(roots, DATASET, parse_dataset_json(roots.raw / DATASET / "dataset.json"))


def test_the_cases_have_their_images_by_channel_and_their_references(roots: Roots) -> None:
    found = read(roots)

    folder = roots.raw / DATASET
    assert [case.name for case in found.cases] == ["new_a", "new_b"]
    assert [path.name for path in found.cases[0].images] == ["new_a_0000.nii.gz", "new_a_0001.nii.gz"]
    assert found.references == folder / "labelsTs"
    assert found.cases[0].images_hash != found.cases[1].images_hash
    assert found.warnings == ()


def test_the_digest_of_a_case_is_that_of_its_images_alone(roots: Roots) -> None:
    before = [case.images_hash for case in read(roots).cases]
    folder = roots.raw / DATASET
    write_volume(folder / "labelsTs" / "new_a.nii.gz", tiny_label()[::-1])
    write_volume(folder / "imagesTs" / "new_b_0001.nii.gz", tiny_image(77))

    after = [case.images_hash for case in read(roots).cases]

    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("is_empty", [True, False])
def test_without_references_no_case_is_found_wanting(roots: Roots, is_empty: bool) -> None:
    labels = roots.raw / DATASET / "labelsTs"
    for path in labels.iterdir():
        path.unlink()
    if not is_empty:
        labels.rmdir()
    found = read(roots)
    assert found.references is None
    assert [case.reference for case in found.cases] == [None, None]


def test_an_image_that_is_constant_is_a_warning(roots: Roots) -> None:
    write_volume(roots.raw / DATASET / "imagesTs" / "new_a_0000.nii.gz", np.ones(tiny_image().shape, np.float32))
    assert [finding.code for finding in read(roots).warnings] == ["D034"]


def moved(mm: float) -> Callable[[Path], object]:
    return lambda folder: write_volume(
        folder / "labelsTs" / "new_b.nii.gz", tiny_label(), SPACING_MM, origin_mm=(mm, 0, 0)
    )


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a channel is missing": (
        lambda folder: (folder / "imagesTs" / "new_b_0001.nii.gz").unlink(),
        r"Case 'new_b' has _0000, but dataset.json declares 2 channels: _0000 \(T1\), _0001 \(T2\)",
    ),
    "a reference is missing": (
        lambda folder: (folder / "labelsTs" / "new_b.nii.gz").unlink(),
        "Case 'new_b' has images, but no label labelsTs/new_b.nii.gz",
    ),
    "a reference has no image": (
        lambda folder: write_volume(folder / "labelsTs" / "new_c.nii.gz", tiny_label()),
        "labelsTs/new_c.nii.gz has no image imagesTs/new_c_0000.nii.gz",
    ),
    "a reference has another shape": (
        lambda folder: write_volume(folder / "labelsTs" / "new_b.nii.gz", tiny_label()[1:]),
        "labelsTs/new_b.nii.gz has the shape 3 × 5 × 6, but imagesTs/new_b_0000.nii.gz has 4 × 5 × 6",
    ),
    "channels of other spacing": (
        lambda folder: write_volume(folder / "imagesTs" / "new_b_0001.nii.gz", tiny_image(3), (1.0, 1.0, 3.0)),
        "imagesTs/new_b_0001.nii.gz has the spacing",
    ),
    "a reference more than half a voxel away": (
        moved(0.6),
        "Case 'new_b': by their headers its reference lies 0.6 mm from its image, more than half a voxel",
    ),
    "an unknown label value": (
        lambda folder: write_volume(folder / "labelsTs" / "new_b.nii.gz", tiny_label() * 3),
        "labelsTs/new_b.nii.gz has values that dataset.json does not declare: 3",
    ),
    "a damaged image": (
        lambda folder: (folder / "imagesTs" / "new_b_0000.nii.gz").write_bytes(b"\x1f\x8b"),
        "imagesTs/new_b_0000.nii.gz is cut off",
    ),
    "no image at all": (
        lambda folder: [path.replace(folder / path.name) for path in (folder / "imagesTs").iterdir()],
        "imagesTs holds no file that ends in .nii.gz; put the images there",
    ),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_cannot_be_predicted_or_evaluated_is_refused_by_name(roots: Roots, what: str) -> None:
    spoil, message = SPOILED[what]
    spoil(roots.raw / DATASET)
    with pytest.raises(DatasetError, match=message) as caught:
        read(roots)
    assert str(caught.value).startswith(f"The test set of {DATASET} has ")


def test_a_reference_that_headers_round_is_only_warned_of(roots: Roots) -> None:
    moved(0.1)(roots.raw / DATASET)
    assert [finding.code for finding in read(roots).warnings] == ["D043"]


def test_without_a_folder_of_test_images_the_way_out_is_said(tmp_path: Path) -> None:
    roots = roots_in(tmp_path)
    write_json(roots.raw / DATASET / "dataset.json", tiny_json())
    with pytest.raises(DatasetError, match=r"imagesTs does not exist. Put the test images there.* or take `test_set`"):
        read(roots)


def test_an_image_that_normalization_turns_into_nothing_is_refused_and_a_flattened_one_is_a_warning(
    roots: Roots,
) -> None:
    image = roots.raw / DATASET / "imagesTs" / "new_b_0001.nii.gz"
    voxels = tiny_image(3)
    voxels[1, 2, 3] = 3000
    write_volume(image, voxels)
    assert [warning.code for warning in read(roots).warnings] == ["D033"]
    voxels[1, 2, 3] = 3e38
    write_volume(image, voxels)
    with pytest.raises(DatasetError, match=r"D033 imagesTs/new_b_0001\.nii\.gz has 3e\+38 at index \(1, 2, 3\)"):
        read(roots)
