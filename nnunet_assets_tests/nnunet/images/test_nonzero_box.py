"""The voxels of labels that are said to be lost are those that nnU-Net's own cropping loses."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nnunet_assets.nnunet.images.nonzero_box import NonzeroBox
from nnunet_assets.nnunet.images.reader_voxels import PlainVoxels
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets_tests.raw_builders import DATASET, SHAPE, tiny_image, tiny_label, write_tiny_dataset, write_volume

SHAPES = st.tuples(*[st.integers(1, 5)] * 3)


def n_lost(images: list[PlainVoxels], label: np.ndarray) -> int:
    box = NonzeroBox()
    for image in images:
        box.add_image(image)
    return box.n_lost(PlainVoxels(label))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[PlainVoxels], np.ndarray]:
    """One or two images, mostly 0, some of which are 0 only by their intercept; and a label image."""
    shape, n_channels = draw(SHAPES), draw(st.integers(1, 2))
    mostly = st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, 2.0, -3.0])
    images = []
    for _ in range(n_channels):
        values = draw(arrays.arrays(np.float32, shape, elements=mostly))
        images.append(draw(st.sampled_from([PlainVoxels(values), PlainVoxels((values + 8) / 2, 2.0, -8.0)])))
    return images, draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 2)))


@given(case=cases())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_as_many_are_lost_as_nnunet_crops_away(case: tuple[list[PlainVoxels], np.ndarray]) -> None:
    # At the top, torch would be loaded by whoever collects the tests; it takes no time from the second example on.
    from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero

    images, label = case
    read = np.stack([image.stored * image.slope + image.intercept for image in images])
    _, cropped, _ = crop_to_nonzero(read, label[None].astype(np.int16))
    assert n_lost(images, label) == np.count_nonzero(label > 0) - np.count_nonzero(cropped > 0)


def test_nothing_is_lost_where_the_shapes_differ_or_no_image_was_read() -> None:
    label = np.ones((2, 3), np.uint8)
    assert n_lost([], label) == 0
    assert n_lost([PlainVoxels(np.eye(3))], label) == 0
    assert n_lost([PlainVoxels(np.array([[0, 0, 1], [0, 0, 0]]))], label) == 5


def blank_outside_a_corner(seed: int) -> np.ndarray:
    """Returns an image that is 0 but for a corner, where `tiny_label` has nothing."""
    voxels = np.zeros(SHAPE, np.float32)
    voxels[3:, 3:, 4:] = tiny_image(seed)[3:, 3:, 4:]
    return voxels


def said_of(raw_root: Path) -> list[tuple[str, str | None]]:
    found = inspect_raw_dataset(raw_root, DATASET, 3)
    return [(one.severity, one.case) for one in found.findings if one.code == "D080"]


def test_the_check_names_the_cases_and_refuses_a_dataset_of_which_no_label_is_left(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path)
    assert said_of(tmp_path) == []
    for n in range(6):
        write_volume(folder / f"imagesTr/case_{n}_0000.nii.gz", blank_outside_a_corner(n))
        if n == 1:
            assert said_of(tmp_path) == [("warning", "case_0"), ("warning", "case_1")]
    assert said_of(tmp_path) == [("error", None)]
    found = inspect_raw_dataset(tmp_path, DATASET, 3)
    (message,) = [one.message for one in found.findings if one.code == "D080"]
    assert "in none of 6 cases a voxel of a label is left" in message
    # A case without labels loses none.
    write_volume(folder / "labelsTr/case_0.nii.gz", np.zeros_like(tiny_label()))
    assert said_of(tmp_path) == [("error", None)]
