"""Builders of synthetic fold results and of the files that nnU-Net writes; each test shows its own numbers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs, Manifest
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.splits.splits_files import write_record
from nnunet_assets.core.splits.splits_record import Generation, SplitsRecord
from nnunet_assets.core.validation.case_results import CaseResult, LabelScore
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, scores_digest

EXPERIMENT = Experiment(dataset="Dataset004_Hippocampus", configuration="3d_fullres")
INPUTS = FoldInputs(raw_hash="raw", plans_hash="plans", splits_hash="splits", training_hash="training")

Dices = Mapping[str, float | None]
"""Label name to Dice."""


def iou_of(dice: float | None) -> float | None:
    """Returns the IoU that belongs to a Dice of the same masks."""
    return None if dice is None else dice / (2 - dice)


def build_fold_result(fold: str, cases: Mapping[str, Dices], inputs: FoldInputs = INPUTS) -> ScoredFold:
    """Returns a fold of these cases; the IoU of each score is the one that belongs to its Dice."""
    return ScoredFold(
        fold=fold,
        inputs=inputs,
        cases=tuple(
            CaseResult(case_id, {label_name: LabelScore(dice, iou_of(dice)) for label_name, dice in dices.items()})
            for case_id, dices in cases.items()
        ),
        n_epochs=2,
        seconds={"training": 3.5, "validation": 1.5},
    )


def build_manifest(fold_folder: Path, inputs: FoldInputs = INPUTS) -> Manifest:
    """Returns a manifest that vouches for the summary that lies in the folder now, if there is one."""
    summary = fold_folder / SUMMARY_FILE
    return Manifest(
        fold=fold_folder.name,
        inputs=inputs,
        versions={},
        device="cpu",
        seconds={"training": 3.5, "validation": 1.5},
        n_epochs=2,
        peak_memory_bytes={},
        files={SUMMARY_FILE: file_sha256(summary)} if summary.is_file() else {},
        details={},
        scores=scores_digest(summary.read_bytes()) if summary.is_file() else None,
    )


def build_attempt(fold_folder: Path, experiment: Experiment = EXPERIMENT) -> FoldAttempt:
    """Returns what the process of a fold in this folder is asked."""
    return FoldAttempt(
        experiment,
        "fold_0",
        {},
        "cpu",
        INPUTS,
        None,
        fold_folder=fold_folder,
        attempt="a",
        waited_seconds=0.0,
        meeting_folder=None,
    )


def summary_entry(case_id: str, metrics: Mapping[str, Any], file_ending: str = ".nii.gz") -> dict[str, Any]:
    """Returns one entry of nnU-Net's `metric_per_case`; `metrics` is by nnU-Net's key, a Dice or any JSON value."""
    return {
        "prediction_file": f"/results/fold_0/validation/{case_id}{file_ending}",
        "reference_file": f"/preprocessed/gt_segmentations/{case_id}{file_ending}",
        "metrics": {
            key: {"Dice": value, "IoU": iou_of(value)} if isinstance(value, float) else value
            for key, value in metrics.items()
        },
    }


def write_validation_summary(fold_folder: Path, entries: Sequence[Mapping[str, Any]]) -> Path:
    """Writes `validation/summary.json` as nnU-Net does, with a bare NaN where a score is undefined."""
    path = fold_folder / SUMMARY_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"foreground_mean": {}, "mean": {}, "metric_per_case": list(entries)}, indent=4))
    return path


def write_patients(
    preprocessed_dataset: Path, groups: Mapping[str, str], splits_hash: str = INPUTS.splits_hash
) -> None:
    """Writes the record of a split that was made with these groups."""
    made = Generation("2026-11-21", "made", {}, splits_hash, added={}, removed=[], groups=groups)
    write_record(preprocessed_dataset, SplitsRecord((made,)))
