"""Voxels, spacing, origin and direction against nnU-Net's own reader classes, over random files of every format."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from nnunet_assets.errors import DatasetError, EvaluationError
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.companion_files import label_companions
from nnunet_assets.nnunet.images.image_reader import BY_ENDING, KNOWN_READERS, dataset_reader, reads_nifti_here
from nnunet_assets.nnunet.images.label_image import label_reader
from nnunet_assets.nnunet.images.nifti import VolumeError, read_volume
from nnunet_assets.nnunet.images.other_formats import other_placement
from nnunet_assets.nnunet.images.reader_placement import NIBABEL_READERS, affine_of_itk, nifti_placement
from nnunet_assets_tests.header_builders import RandomFile, random_file

ALLOWED_REFUSALS = {
    "D076": "a unit that is not mm, which nibabel's readers ignore",
    "D046": "several numbers a voxel or a fourth axis, which nnU-Net takes for channels: no label image",
    "D049": "an origin or direction that is no number",
    "D042": "a spacing that is none",
    "D047": "a file that ends before its last voxel, which nibabel fills up where it is not compressed",
}
"""Why a file that nnU-Net's reader takes may be refused here; fixed before any file is drawn."""


class Read(NamedTuple):
    """What a reader says of a file: voxels (z, y, x) or (y, x), spacing likewise, voxel (x, y, z) to world or None."""

    voxels: np.ndarray
    spacing: np.ndarray
    affine: np.ndarray | None


def read_by_nnunet(file: RandomFile) -> tuple[str | None, Read | None]:
    """Returns the name of nnU-Net's reader and what it reads; None: there is none, or it refuses the file."""
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = determine_reader_writer_from_dataset_json(dict(file.description), str(file.path), verbose=False)
    except RuntimeError:
        return None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # to nnU-Net, what a library says of a file that it reads is no refusal
            voxels, properties = reader().read_seg(str(file.path))
    except Exception:  # noqa: BLE001 (whatever a reader raises, it refuses the file)
        return reader.__name__, None
    affine: Any = None
    spacing = np.array(properties["spacing"], float)
    voxels = voxels if len(voxels) > 1 else voxels[0]
    if place := properties.get("sitk_stuff"):
        affine = affine_of_itk(place["spacing"], place["origin"], place["direction"])
        if len(place["spacing"]) == 2:
            voxels, spacing = voxels[0], spacing[1:]
    elif place := properties.get("nibabel_stuff"):
        affine = place.get("reoriented_affine", place["original_affine"])
    elif reader.__name__ == "NaturalImage2DIO":
        voxels, spacing = (voxels[0] if voxels.ndim == 3 else voxels[:, 0]), spacing[1:]
    return reader.__name__, Read(voxels, spacing, affine)


def read_here(file: RandomFile, reader: str) -> Read:
    ending = file.description["file_ending"]
    if reads_nifti_here(reader, ending):
        volume = read_volume(file.path, as_itk=reader not in NIBABEL_READERS)
        placement = nifti_placement(file.path, file.path.name, volume.header, reader)
        voxels = placement.arranged(volume.values()).T.astype(np.float32)
        return Read(voxels, np.array(placement.spacing_mm[::-1]), placement.affine)
    image = label_reader(reader, ending)(file.path)
    sidecar = next(iter(label_companions(file.path, reader)), None)
    if header := other_placement(file.path, file.path.name, reader, sidecar):
        np.testing.assert_array_equal(header.spacing_mm[::-1], image.spacing_mm)
        assert header.shape == image.voxels.shape[::-1]
        assert image.affine is None or np.allclose(header.affine, image.affine, rtol=0, atol=1e-9)
    return Read(image.voxels.astype(np.float32), np.array(image.spacing_mm), image.affine)


def compare(folder: Path, seed: int) -> str:
    """Compares one file, and returns what it was a case of."""
    file = random_file(folder, seed)
    name, wanted = read_by_nnunet(file)
    assert dataset_reader(file.description, file.path) == name, (seed, file.about)
    if name is None:
        return "no reader"
    found, error = None, None
    try:
        found = read_here(file, name)
    except (DatasetError, EvaluationError) as refusal:
        error = refusal
        found = None
    if found is None:
        code = error.code if isinstance(error, VolumeError) else ""
        assert wanted is None or code in ALLOWED_REFUSALS, (seed, file.about, str(error))
        return f"{name} refuses" if wanted is None else f"{code} {ALLOWED_REFUSALS[code]}"
    assert wanted is not None, (seed, file.about, f"{name} refuses it, and it was read")
    np.testing.assert_array_equal(found.voxels, wanted.voxels, err_msg=f"{seed} {file.about}")
    exact = name in NIBABEL_READERS
    np.testing.assert_allclose(
        found.spacing, wanted.spacing, rtol=0 if exact else 1e-12, err_msg=f"{seed} {file.about}"
    )
    if wanted.affine is not None:
        assert found.affine is not None
        np.testing.assert_allclose(found.affine, wanted.affine, rtol=0, atol=1e-9, err_msg=f"{seed} {file.about}")
    return f"{name} {file.path.name[1:]}"


def compare_many(folder: Path, seeds: range) -> Counter[str]:
    return Counter(compare(folder, seed) for seed in seeds)


def test_300_random_files_are_read_as_nnunet_reads_them_or_refused_for_a_reason_on_the_list(tmp_path: Path) -> None:
    seen = compare_many(tmp_path, range(300))
    # The generator reaches what it is made for.
    n_read = sum(n for kind, n in seen.items() if kind.split()[0] in KNOWN_READERS and not kind.endswith("refuses"))
    assert n_read > 200, seen
    assert {kind.split()[0] for kind in seen} >= KNOWN_READERS, seen
    for kind in (".nii.gz", ".nii", ".mhd", ".mha", ".nhdr", ".nrrd", ".hdr", ".img", ".gipl", ".tif", ".tiff", ".png"):
        assert any(found.endswith(f" {kind}") for found in seen), (kind, seen)
    assert sum(n for kind, n in seen.items() if kind.endswith("refuses")) > 5, seen
    assert any(kind.startswith("D076") for kind in seen), seen


@pytest.mark.faults
def test_so_are_3000_more(tmp_path: Path) -> None:
    compare_many(tmp_path, range(1000, 4000))


def test_the_readers_by_ending_are_nnunets_own_in_its_order() -> None:
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES, recursive_find_reader_writer_by_name

    endings = [ending for reader in LIST_OF_IO_CLASSES for ending in reader.supported_file_endings]
    wanted = {
        ending: tuple(reader.__name__ for reader in LIST_OF_IO_CLASSES if ending in reader.supported_file_endings)
        for ending in endings
    }
    assert dict(BY_ENDING) == wanted
    assert {recursive_find_reader_writer_by_name(name).__name__ for name in KNOWN_READERS} == KNOWN_READERS
    assert set(nifti.ENDINGS) <= set(BY_ENDING)
