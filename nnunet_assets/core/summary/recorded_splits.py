"""What a summary covers of its dataset, as the split says that its folds were trained on.

On disk: `nnUNet_preprocessed/DATASET/splits_final.json`, and `.nnunet_assets/splits.json` for a split that is not there
any more.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import FULL_FOLD, OWN_FOLDER, Roots, fold_key
from nnunet_assets.core.splits.splits import SPLITS_FILE, coverage, is_splits
from nnunet_assets.core.summary.cv_summary import CvSummary


def with_recorded_split(roots: Roots, summary: CvSummary) -> CvSummary:
    """Returns the summary with the cases that its split only trains on; as it is where that split is not known."""
    found = read_training_only(roots.preprocessed / summary.experiment.dataset, summary.inputs.splits_hash)
    return summary if found is None else replace(summary, training_only=found)


def read_training_only(preprocessed_dataset: Path, splits_hash: str) -> tuple[str, ...] | None:
    """Returns the cases that a split trains on and validates in no fold; None: the split is not known.

    Args:
        preprocessed_dataset: `nnUNet_preprocessed/DATASET`.
        splits_hash: Digest of the split.
    """
    splits = _read(preprocessed_dataset / SPLITS_FILE)
    if is_splits(splits) and json_sha256(splits) == splits_hash:
        return coverage(splits).training_only
    record = _read(preprocessed_dataset / OWN_FOLDER / "splits.json")
    try:
        made = [made for made in record["generations"] if made["splits_sha256"] == splits_hash]
        return tuple(made[-1].get("training_only", ())) if made else None
    except (LookupError, TypeError, AttributeError):
        return None


def folds_of_split(preprocessed_dataset: Path, finished: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the folds of the split that is there; None: there is none, or other folds than its were finished."""
    splits = _read(preprocessed_dataset / SPLITS_FILE)
    if not is_splits(splits) or not splits:
        return None
    folds = tuple(fold_key(index) for index in range(len(splits)))
    return folds if set(finished) <= {*folds, FULL_FOLD} else None


def _read(path: Path) -> Any:
    try:
        return load_json(path)
    except (OSError, ValueError):
        return None
