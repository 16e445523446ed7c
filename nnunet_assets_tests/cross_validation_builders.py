"""Finished cross-validations without a training: folders as the fold process leaves them, and their MLflow runs."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs, commit_fold
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker
from nnunet_assets.tracking.runs.run_names import fold_run_name
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import fold_tags
from nnunet_assets_tests.builders import INPUTS, build_manifest, summary_entry, write_validation_summary

LABELS = {"background": 0, "tumor (core)": 1, "=edema & <rest>": 2}
NAN = float("nan")
# Two labels, one absent in a case; folds of unequal size, so that pooled and over folds differ.
FOLDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "fold_0": {"a": (0.9, 0.5), "b": (0.7, NAN), "c": (0.8, 0.1)},
    "fold_1": {"d": (0.31, 0.3)},
    "fold_2": {"e": (1 / 3, 0.0), "mit Ümläut 患者;$(6)": (0.95, 0.6)},
}


def write_fold(
    model_folder: Path, fold: str, cases: Mapping[str, tuple[float, float]], inputs: FoldInputs = INPUTS
) -> Path:
    """Writes a committed fold; each case has the Dice of label 1 and of label 2."""
    folder = model_folder / fold
    entries = [
        summary_entry(case, {"1": dices[0], "2": dices[1] if dices[1] == dices[1] else {"Dice": NAN, "IoU": NAN}})
        for case, dices in cases.items()
    ]
    write_validation_summary(folder, entries)
    (model_folder / "dataset.json").write_text(json.dumps({"labels": LABELS, "file_ending": ".nii.gz"}))
    details = {"validation_cases": sorted(cases), "options": {}}
    commit_fold(folder, replace(build_manifest(folder, inputs), details=details))
    return folder


def track_fold(settings: Settings, experiment: Experiment, folder: Path, *, status: Any = "FINISHED") -> str:
    """Sends a fold's run as its asset does, and returns the run's id."""
    (result,) = fold_results_in(folder.parent, [folder.name])
    summary = summarize(experiment, [folder.name], [result])
    values = {"val_dice_mean": summary.foreground.dice.pooled.mean, "val_iou_mean": summary.foreground.iou.pooled.mean}
    for name, label in summary.labels.items():
        values |= {f"val_dice/{name}": label.dice.pooled.mean, f"val_iou/{name}": label.iou.pooled.mean}
    journal_path(folder).unlink(missing_ok=True)
    append_record(journal_path(folder), "start", {"attempt": uuid.uuid4().hex, "params": {}})
    append_record(journal_path(folder), "end", values)
    tracker = FoldTracker(
        Destination.of(settings),
        experiment_name=Destination.of(settings).experiment_of(experiment.dataset),
        fold_folder=folder,
        tags=fold_tags(experiment, folder.name, result.inputs),
        run_name=fold_run_name(experiment, folder.name),
        poll_seconds=0.05,
    )
    files = [folder / ".nnunet_assets" / "manifest.json", folder / SUMMARY_FILE, folder.parent / "dataset.json"]
    report = tracker.finish(status, files)
    assert report.run_id, report.problem
    return report.run_id
