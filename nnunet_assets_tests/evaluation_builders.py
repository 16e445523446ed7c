"""Predictions and references on disk whose scores are known by hand: boxes in voxels of 1 x 2 x 5 mm."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FoldInputs, commit_fold
from nnunet_assets_tests.builders import INPUTS, build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.raw_builders import tiny_json, write_json, write_volume

SPACING_MM = (1.0, 2.0, 5.0)
"""(x, y, z), as in the files."""

REFERENCE = np.zeros((10, 8, 6), np.uint8)
REFERENCE[2:6, 2:4, 2:4] = 1
REFERENCE[7:9, 5:7, 2:4] = 2
"""Organ (1) of 16 voxels of 10 mm³, lesion (2) of 8; axes (x, y, z)."""

HIGHER = np.roll(REFERENCE, 1, axis=2)
"""The same a slice of 5 mm higher: half of the voxels of each, Dice 0.5, every surface voxel at 0 or 5 mm."""
HIGHER_SCORES = {"1": 0.5, "2": 0.5}
"""nnU-Net's Dice of `HIGHER`, by its label keys."""


def write_fold(
    roots: Roots,
    experiment: Experiment,
    fold: str,
    predictions: Mapping[str, np.ndarray],
    scores: Mapping[str, float] = HIGHER_SCORES,
    *,
    inputs: FoldInputs = INPUTS,
) -> Path:
    """Writes a finished fold with these predictions, and `REFERENCE` as the reference of each case.

    Args:
        scores: What summary.json says of every case, by label key.
    """
    folder = experiment.fold_folder(roots, fold)
    write_json(folder.parent / "dataset.json", tiny_json())
    for case, voxels in predictions.items():
        write_case(folder / "validation" / f"{case}.nii.gz", voxels)
        write_case(references_of(roots, experiment) / f"{case}.nii.gz", REFERENCE)
    write_summary(folder, list(predictions), scores)
    details = {"validation_cases": sorted(predictions)}
    commit_fold(folder, replace(build_manifest(folder, inputs), details=details))
    return folder


def write_case(
    path: Path, voxels: np.ndarray, spacing_mm: Sequence[float] = SPACING_MM, moved_mm: Sequence[float] = (0, 0, 0)
) -> Path:
    """Writes a label image at the place of its case, so that no two cases have the same bytes."""
    x, y, z = moved_mm
    return write_volume(path, voxels, spacing_mm, origin_mm=(x + ord(path.name[0]), y, z))


def write_summary(folder: Path, cases: Sequence[str], scores: Mapping[str, float]) -> Path:
    """Writes the fold's summary.json: the same scores for each case."""
    return write_validation_summary(folder, [summary_entry(case, dict(scores)) for case in cases])


def references_of(roots: Roots, experiment: Experiment) -> Path:
    """Returns the folder of the references that nnU-Net validates with."""
    return roots.preprocessed / experiment.dataset / "gt_segmentations"
