"""Raw data that are not NIfTI are what nnU-Net's own readers make of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.nnunet.images.image_reader import dataset_reader, reader_class
from nnunet_assets.nnunet.raw.raw_data import Spread, inspect_raw_dataset
from nnunet_assets_tests.nnunet.raw.tiny_dataset import inspect
from nnunet_assets_tests.raw_builders import DATASET, tiny_json, write_json


@pytest.mark.parametrize("ending", [".png", ".tif", ".nrrd", ".mha"])
def test_labels_of_other_formats_are_those_of_nnunets_reader(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / DATASET
    for case in range(6):
        for name in (f"imagesTr/case_{case}_0000{ending}", f"labelsTr/case_{case}{ending}"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_other_format(folder / name, seed=case)
    write_json(folder / "dataset.json", tiny_json(file_ending=ending))
    found = inspect(folder)
    # Where a 3D TIFF has no sidecar, that is said.
    assert [finding.code for finding in found.findings] == (["D078"] if ending == ".tif" else [])
    known = tuple(Spread(mm, mm, mm) for mm in ((1.0, 1.0, 1.0) if ending == ".tif" else (0.5, 1.0, 2.0)))
    assert (found.voxels_checked, {name: one.n_cases for name, one in found.labels.items()}) == (
        False,
        {"organ": 6, "lesion": 6},
    )
    assert found.spacing_mm == (None if ending == ".png" else known)
    before = found.content_hash
    write_other_format(folder / f"labelsTr/case_0{ending}", seed=9)
    assert inspect(folder).content_hash != before
    (folder / f"labelsTr/case_0{ending}").unlink()
    assert [finding.code for finding in inspect(folder).errors] == ["D026"]


@pytest.mark.parametrize("ending", [".tif", ".nrrd", ".mha"])
def test_what_none_of_nnunets_readers_opens_is_named(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / DATASET
    for name in (f"imagesTr/case_0_0000{ending}", f"labelsTr/case_0{ending}"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"root:x:0:0 no image")
    write_json(folder / "dataset.json", tiny_json(file_ending=ending))
    found = [finding for finding in inspect(folder, 1).errors if finding.code == "D045"]
    assert found
    assert not any("root:x" in finding.message for finding in found)


def test_a_label_image_in_colours_is_named_and_one_in_grey_is_not(tmp_path: Path) -> None:
    from skimage import io

    folder = tmp_path / DATASET
    grey = np.zeros((8, 9), np.uint8)
    grey[2:5, 2:5] = 1
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for n in range(5):
        picture = np.random.default_rng(n).integers(0, 255, (8, 9), np.uint8)
        io.imsave(folder / "imagesTr" / f"case_{n}_0000.png", picture, check_contrast=False)
        label = np.stack([grey] * 3, axis=-1) if n == 2 else grey
        io.imsave(folder / "labelsTr" / f"case_{n}.png", label, check_contrast=False)
    write_json(folder / "dataset.json", tiny_json(5, file_ending=".png"))

    found = inspect_raw_dataset(tmp_path, DATASET, 2)

    of_colours = [finding for finding in found.findings if finding.code == "D046"]
    # One among others: nnU-Net puts both into one batch, and stops.
    assert [(one.case, one.severity) for one in of_colours] == [("case_2", "error"), ("case_2", "warning")]
    assert "labelsTr/case_2.png holds several numbers a voxel, as colours do" in of_colours[1].message


@pytest.mark.parametrize(("bad", "code"), [(np.nan, "D031"), (np.inf, "D032"), (-np.inf, "D032")])
@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".tif"])
def test_a_voxel_that_is_no_number_is_named_in_every_format(tmp_path: Path, ending: str, bad: float, code: str) -> None:
    folder = _of_format(tmp_path, ending, lambda image: image.__setitem__((1, 2, 3), bad))

    found = inspect_raw_dataset(tmp_path, DATASET, 2)

    (finding,) = [one for one in found.findings if one.code in ("D031", "D032")]
    assert (finding.code, finding.case, finding.severity) == (code, "case_2", "error")
    assert "1 voxel of" in finding.message
    assert "at index (3, 2, 1)" in finding.message
    assert "takes it as it is" in finding.message
    # nnU-Net's reader does.
    image = folder / "imagesTr" / f"case_2_0000{ending}"
    voxels, _ = reader_class(str(dataset_reader({"file_ending": ending}, image)))().read_images((str(image),))
    assert not np.isfinite(voxels[0, 1, 2, 3])


def test_a_repair_is_proposed_only_where_headers_can_be_repaired(tmp_path: Path) -> None:
    import SimpleITK

    folder = _of_format(tmp_path, ".nrrd", lambda image: None)
    label = folder / "labelsTr" / "case_2.nrrd"
    moved = SimpleITK.ReadImage(str(label))
    moved.SetOrigin((5, 0, 0))
    SimpleITK.WriteImage(moved, str(label))

    (finding,) = inspect_raw_dataset(tmp_path, DATASET, 2).errors

    assert finding.code == "D043"
    assert "repair_headers_mm" not in finding.message
    assert "write the place of the first file into the header of this one" in finding.message


def write_other_format(path: Any, seed: int) -> None:
    import SimpleITK
    import tifffile
    from skimage import io

    voxels = np.random.default_rng(seed).integers(0, 3, (6, 5, 4)).astype(np.uint8)
    if path.suffix == ".png":
        io.imsave(path, voxels[0], check_contrast=False)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, np.repeat(voxels, 2, axis=2))
    else:
        image = SimpleITK.GetImageFromArray(voxels)
        image.SetSpacing((0.5, 1.0, 2.0))
        SimpleITK.WriteImage(image, str(path))


def _of_format(root: Path, ending: str, spoil: Callable[[np.ndarray], object]) -> Path:
    """Writes six cases in a format; the image of `case_2`, axes (z, y, x), is spoilt."""
    import SimpleITK
    import tifffile

    folder = root / DATASET
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    label = np.zeros((5, 6, 7), np.uint8)
    label[1:3, 1:3, 1:3] = 1
    for n in range(6):
        image = np.random.default_rng(n).normal(100, 20, label.shape).astype(np.float32)
        if n == 2:
            spoil(image)
        for array, file in ((image, f"imagesTr/case_{n}_0000{ending}"), (label, f"labelsTr/case_{n}{ending}")):
            if ending == ".tif":
                tifffile.imwrite(folder / file, array)
            else:
                SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(folder / file))
    write_json(folder / "dataset.json", tiny_json(6, file_ending=ending))
    return folder
