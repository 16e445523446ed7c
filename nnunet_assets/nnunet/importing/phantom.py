"""A generated dataset that looks like a small MRI cohort: for the demo, for tests, and for trying things out.

Each case is a body with a bright rim of fat, noisy and unevenly lit; in it an ellipsoid `organ`, and in most organs a
smaller, brighter `lesion`. Sizes, places, spacing and shape vary from case to case. Voxels are anisotropic, so that
swapped axes show, and some cases have no lesion, so that its dice is undefined there.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images.nifti import write_nifti
from nnunet_assets.nnunet.raw.raw_root import new_dataset

LABELS = {"background": 0, "organ": 1, "lesion": 2}

_MARK = "nnunet_assets_phantom"
"""The key in dataset.json by which a phantom is known; its value says what it was generated from."""

# The rim keeps the range of intensities the same without a lesion. nnU-Net normalizes each image by its own mean and
# SD: without the rim, a network took the organ of such a case for a lesion.
_BODY, _ORGAN, _LESION, _RIM = 300.0, 500.0, 1000.0, 900.0
_NOISE_SD = 40.0


def write_phantom(raw_root: Path, dataset: str, n_cases: int = 20, seed: int = 0) -> Path:
    """Returns the folder of the phantom; generates it where it does not exist.

    The same arguments give the same bytes (with one version of numpy and zlib). A folder that is there already is never
    written to.

    Args:
        raw_root: nnU-Net's `nnUNet_raw`; made where it does not exist.
        dataset: `DatasetXXX_Name`.
        n_cases: How many cases to generate.
        seed: Of the random numbers.

    Raises:
        DatasetError: The name is wrong, its id is taken, or a folder of that name holds something else.
    """
    folder = raw_root / dataset
    made_from = {"cases": n_cases, "seed": seed}
    if folder.is_dir():
        found = _made_from(folder)
        if found == made_from:
            return folder
        what = f"was generated with other settings, {found}" if found else "is not a generated one"
        raise DatasetError(
            f"{folder} exists and {what}, so the phantom ({made_from}) is not written over it. Take another dataset "
            "name, or delete the folder first."
        )
    with new_dataset(raw_root, dataset) as partial:
        for subfolder in ("imagesTr", "labelsTr"):
            (partial / subfolder).mkdir()
        for index in range(n_cases):
            case = f"phantom_{index:03d}"
            made = make_case(seed, index)
            write_nifti(partial / "imagesTr" / f"{case}_0000.nii.gz", _image(made.image, made.spacing_mm))
            write_nifti(partial / "labelsTr" / f"{case}.nii.gz", _image(made.label, made.spacing_mm))
        write_json_atomically(
            partial / DATASET_JSON,
            {
                "channel_names": {"0": "MRI"},
                "labels": LABELS,
                "numTraining": n_cases,
                "file_ending": ".nii.gz",
                "description": "Generated images; no patient is in them.",
                _MARK: made_from,
            },
        )
    return folder


@dataclass(frozen=True)
class PhantomCase:
    """One generated case.

    Attributes:
        image: Intensities, int16, axes (X, Y, Z).
        label: Values of `LABELS`, uint8, same axes.
        spacing_mm: Voxel size along X, Y, Z.
    """

    image: np.ndarray
    label: np.ndarray
    spacing_mm: tuple[float, float, float]


def has_lesion(index: int) -> bool:
    """Whether a case has a lesion; one in five has none."""
    return index % 5 != 1


def make_case(seed: int, index: int) -> PhantomCase:
    """Returns one case, the same for the same numbers, whatever was generated before."""
    rng = np.random.default_rng([seed, index])
    shape = [int(n) for n in np.array([24, 29, 18]) + rng.integers(-2, 3, size=3)]
    spacing = [round(float(mm), 2) for mm in np.array([1.35, 1.35, 2.7]) * rng.uniform(0.95, 1.05, size=3)]
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))  # (3, X, Y, Z), mm from the centre
    label = _anatomy(rng, grid, with_lesion=has_lesion(index))
    body = _distance(grid, np.zeros(3), np.array([15.0, 19.0, 25.0]))
    tissues = [label == LABELS["lesion"], label == LABELS["organ"], body < 0.88, body < 1]
    clean = np.select(tissues, [_LESION, _ORGAN, _BODY, _RIM], 0.0)
    return PhantomCase(_scanned(rng, clean, grid), label, (spacing[0], spacing[1], spacing[2]))


def _anatomy(rng: np.random.Generator, grid: np.ndarray, *, with_lesion: bool) -> np.ndarray:
    organ_center = rng.uniform(-2, 2, size=3)
    organ_radii = np.array([9.0, 12.0, 14.0]) * rng.uniform(0.85, 1.15, size=3)
    lesion_center = organ_center + rng.uniform(-0.4, 0.4, size=3) * organ_radii
    lesion_radii = 6.5 * rng.uniform(0.8, 1.2, size=3)
    organ = _distance(grid, organ_center, organ_radii) < 1
    lesion = organ & (_distance(grid, lesion_center, lesion_radii) < 1) & with_lesion
    return np.select([lesion, organ], [LABELS["lesion"], LABELS["organ"]], 0).astype(np.uint8)


def _distance(grid: np.ndarray, center: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Returns the distance from an ellipsoid's centre in units of its radius there: below 1 inside; (X, Y, Z)."""
    in_radii = (grid - center[:, None, None, None]) / radii[:, None, None, None]
    distance: np.ndarray = np.sqrt((in_radii**2).sum(axis=0))
    return distance


def _scanned(rng: np.random.Generator, clean: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Returns what a scanner makes of an ideal image: soft texture, a bias field that multiplies it, Rician noise."""
    texture = _waves(rng, grid, wavelength_mm=12.0)
    bias = _waves(rng, grid, wavelength_mm=80.0)
    signal = clean * (1 + 0.05 * texture) * (1 + 0.15 * bias)
    real, imaginary = rng.normal(0, _NOISE_SD, size=(2, *clean.shape))
    scanned: np.ndarray = np.rint(np.hypot(signal + real, imaginary)).astype(np.int16)
    return scanned


def _waves(rng: np.random.Generator, grid: np.ndarray, wavelength_mm: float) -> np.ndarray:
    """Returns a smooth random field (X, Y, Z) between -1 and 1: the mean of a few plane waves."""
    directions = rng.normal(size=(4, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    phases = rng.uniform(0, 2 * np.pi, size=4)
    angles = np.tensordot(directions, grid, axes=1) * (2 * np.pi / wavelength_mm) + phases[:, None, None, None]
    waves: np.ndarray = np.cos(angles).mean(axis=0)
    return waves


def _image(voxels: np.ndarray, spacing_mm: tuple[float, float, float]) -> Any:
    import nibabel

    image = nibabel.Nifti1Image(voxels, np.diag([*spacing_mm, 1.0]))
    image.header.set_xyzt_units("mm")
    return image


def _made_from(folder: Path) -> dict[str, int] | None:
    """Returns the settings of the phantom in a folder; None where it is not one."""
    try:
        settings: dict[str, int] | None = json.loads((folder / DATASET_JSON).read_bytes()).get(_MARK)
    except (OSError, ValueError, AttributeError):
        return None
    return settings
