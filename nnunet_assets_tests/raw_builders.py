"""Builders of small raw datasets on disk: good ones, which a test then spoils in the one way it is about."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

DATASET = "Dataset001_Tiny"
SMALL_BYTES = 10_000
_WRITTEN: dict[Any, bytes] = {}
"""What nibabel has made of small images, of which most tests write the same ones: a millisecond each."""

SHAPE = (4, 5, 6)
SPACING_MM = (1.0, 1.0, 2.0)
REAL_DATA = Path(__file__).parents[2] / "shared/data/Task04_Hippocampus_50"
"""50 cases of the Decathlon's hippocampus, which lie beside the checkout and are no part of it."""


def tiny_json(n_training: int = 6, **changes: Any) -> dict[str, Any]:
    """Returns a good dataset.json: one channel, labels 0 to 2; a change to None takes the key away."""
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "numTraining": n_training,
        "file_ending": ".nii.gz",
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


def tiny_image(seed: int = 0) -> np.ndarray:
    """Returns noise, float32, of `SHAPE`."""
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def tiny_label() -> np.ndarray:
    """Returns a label, uint8, of `SHAPE`: 8 voxels of organ (1), 2 of lesion (2)."""
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 1:3, 1:3] = 1
    label[1, 1, 3:5] = 2
    return label


def write_volume(
    path: Path,
    voxels: np.ndarray,
    spacing_mm: Sequence[float] = SPACING_MM,
    origin_mm: Sequence[float] = (0.0, 0.0, 0.0),
) -> Path:
    """Writes a NIfTI file; `spacing_mm` and `origin_mm` are along X, Y, Z."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_small = voxels.nbytes <= SMALL_BYTES and path.name.endswith((".nii", ".nii.gz"))
    kind = (path.suffix, voxels.shape, voxels.dtype.str, tuple(spacing_mm), tuple(origin_mm))
    what = (*kind, voxels.tobytes()) if is_small else None
    if what in _WRITTEN:
        path.write_bytes(_WRITTEN[what])
        return path
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = origin_mm
    nibabel.Nifti1Image(voxels, affine).to_filename(path)
    if what:
        _WRITTEN[what] = path.read_bytes()
    return path


def write_json(path: Path, content: Any) -> Path:
    """Writes any JSON value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_tiny_dataset(
    raw_root: Path, dataset: str = DATASET, n_cases: int = 6, n_channels: int = 1, ending: str = ".nii.gz"
) -> Path:
    """Writes a good dataset of cases `case_0`, `case_1` ... and returns its folder."""
    folder = raw_root / dataset
    for index in range(n_cases):
        for channel in range(n_channels):
            image = tiny_image(seed=10 * index + channel)
            write_volume(folder / "imagesTr" / f"case_{index}_{channel:04d}{ending}", image)
        write_volume(folder / "labelsTr" / f"case_{index}{ending}", tiny_label())
    channels = {str(channel): f"MRI {channel}" for channel in range(n_channels)}
    write_json(folder / "dataset.json", tiny_json(n_cases, channel_names=channels, file_ending=ending))
    return folder


def old_json(cases: Sequence[str], modality: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    """Returns a dataset.json as the Decathlon and nnU-Net v1 write it."""
    content = {
        "name": "TINY",
        "licence": "CC-BY-SA 4.0",
        "tensorImageSize": "3D",
        "modality": dict(modality),
        "labels": {"0": "background", "1": "organ", "2": "lesion"},
        "numTraining": len(cases),
        "numTest": 1,
        "training": [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases],
        "test": ["./imagesTs/test_0.nii.gz"],
    }
    return content | changes


def write_decathlon(folder: Path, n_cases: int = 3, n_channels: int = 1, dtype: Any = np.int16) -> Path:
    """Writes a Decathlon folder; with more than one channel, the images have four axes (X, Y, Z, channel)."""
    cases = [f"tiny_{index}" for index in range(n_cases)]
    for index, case in enumerate([*cases, "test_0"]):
        channels = [(100 * tiny_image(seed=10 * index + channel)).astype(dtype) for channel in range(n_channels)]
        voxels = channels[0] if n_channels == 1 else np.stack(channels, axis=-1)
        write_volume(folder / ("imagesTr" if case in cases else "imagesTs") / f"{case}.nii.gz", voxels)
        if case in cases:
            write_volume(folder / "labelsTr" / f"{case}.nii.gz", tiny_label())
    write_json(folder / "dataset.json", old_json(cases, {str(c): f"MRI {c}" for c in range(n_channels)}))
    return folder


def write_version_1_task(folder: Path, n_cases: int = 3, n_channels: int = 2) -> Path:
    """Writes an nnU-Net v1 task: one file a channel, the old dataset.json."""
    write_tiny_dataset(folder.parent, folder.name, n_cases, n_channels)
    cases = [f"case_{index}" for index in range(n_cases)]
    write_json(folder / "dataset.json", old_json(cases, {str(c): f"MRI {c}" for c in range(n_channels)}))
    return folder
