"""Finished folds whose masks have false islands, which steps of postprocessing remove."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FoldInputs, commit_fold
from nnunet_assets_tests.builders import INPUTS, build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.evaluation_builders import references_of, write_case
from nnunet_assets_tests.raw_builders import tiny_json, write_json

SHAPE = (12, 8, 6)


def organ(island: int = 0) -> np.ndarray:
    """Returns an organ (1) of 64 voxels with a lesion (2) of 8 in it; and a false island of so many voxels of 1."""
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[1:5, 1:5, 1:5] = 1
    voxels[2:4, 2:4, 2:4] = 2
    voxels[8 : 8 + island, 6, 3] = 1
    return voxels


def dice_of(reference: np.ndarray, prediction: np.ndarray, labels: Mapping[str, Any]) -> dict[str, float]:
    """Returns nnU-Net's Dice by its label keys, NaN where both masks are empty."""
    found = {}
    for name, value in labels.items():
        values = value if isinstance(value, list) else [value]
        if values == [0] or name == "ignore":
            continue
        one, other = np.isin(reference, values), np.isin(prediction, values)
        n = int(one.sum() + other.sum())
        key = f"({', '.join(map(str, values))})" if isinstance(value, list) else str(value)
        found[key] = 2 * int((one & other).sum()) / n if n else float("nan")
    return found


def write_folds(
    roots: Roots,
    experiment: Experiment,
    folds: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    inputs: FoldInputs = INPUTS,
    **description: Any,
) -> Path:
    """Writes finished folds of references and predictions by case, and returns the model's folder."""
    model = experiment.model_folder(roots)
    content = tiny_json(**description)
    write_json(model / "dataset.json", content)
    for k, cases in enumerate(folds):
        folder = model / f"fold_{k}"
        for case, (reference, prediction) in cases.items():
            write_case(folder / "validation" / f"{case}.nii.gz", prediction)
            write_case(references_of(roots, experiment) / f"{case}.nii.gz", reference)
        entries = [summary_entry(case, dice_of(*pair, content["labels"])) for case, pair in cases.items()]
        write_validation_summary(folder, entries)
        manifest = replace(build_manifest(folder, inputs), details={"validation_cases": sorted(cases)})
        commit_fold(folder, manifest)
    return model


def island_folds(islands: Sequence[int], n_folds: int = 3) -> list[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Returns the cases of folds, dealt one by one, with a false island of each size."""
    return [
        {f"{chr(97 + k)}{k:02d}": (organ(), organ(n)) for k, n in enumerate(islands) if k % n_folds == fold}
        for fold in range(n_folds)
    ]
