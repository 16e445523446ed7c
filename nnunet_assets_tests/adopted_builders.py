"""Adopted folds as their files show them, without a checkpoint that torch would have to read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.fold.commit import UNKNOWN, FinishedFold, FoldInputs, commit_fold
from nnunet_assets.core.fold.journal import Record, journal_path, read_records, write_records
from nnunet_assets.nnunet.adoption.adoption import Adopted
from nnunet_assets.nnunet.results.results_folder import experiment_of
from nnunet_assets_tests.builders import build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.foreign_fold_builders import DESCRIPTION

BEGIN_MS = 1_600_000_000_000
"""Each epoch takes a second."""


def write_foreign(folder: Path, dices: Mapping[str, float]) -> Path:
    """Writes what nothing reads but the state of a fold: a checkpoint, and the scores of both labels of its cases."""
    write_validation_summary(folder, [summary_entry(case, {"1": dice, "2": dice}) for case, dice in dices.items()])
    (folder.parent / "dataset.json").write_text(json.dumps(DESCRIPTION))
    (folder / "checkpoint_final.pth").write_bytes(b"weights")
    return folder


def take_in(folder: Path, *, n_epochs: int = 2, **details: object) -> Adopted:
    """Writes what an adoption writes of a fold, with its scores as they are now, and returns it.

    Args:
        folder: Of the fold.
        n_epochs: Of the training; 0: nothing says when they were.
        details: Over those of the manifest.
    """
    experiment, known = experiment_of(folder.parent), FinishedFold.read(folder)
    assert experiment
    cases = [Path(entry["prediction_file"]).name.removesuffix(".nii.gz") for entry in _entries(folder)]
    manifest = replace(
        build_manifest(folder, FoldInputs(UNKNOWN, "plans", UNKNOWN, "training")),
        device="Tesla V100",
        details={
            "adopted": "2026-11-21T10:00:00+00:00",
            "experiment": asdict(experiment),
            "settings": {},
            "validation_cases": cases,
            "host": "node17",
            **details,
        },
    )
    there = [record for record in read_records(journal_path(folder)) if record.kind != "end"]
    epochs = [
        Record("epoch", BEGIN_MS + 1000 * k, k, {"train_loss": -k, "epoch_seconds": 1.0}) for k in range(n_epochs)
    ]
    records = there or [Record("start", BEGIN_MS - 1000, None, {"attempt": "adopted-1", "params": {}}), *epochs]
    dice = sum(entry["metrics"]["1"]["Dice"] for entry in _entries(folder)) / len(cases)
    end_ms = max([BEGIN_MS + 10_000, *(record.time_ms + 1 for record in read_records(journal_path(folder)))])
    write_records(journal_path(folder), [*records, Record("end", end_ms, None, {"val_dice/Anterior": dice})])
    commit_fold(folder, manifest)
    finished = FinishedFold.read(folder)
    assert finished
    return Adopted(experiment, finished, is_new=known is None or known.sha256 != finished.sha256)


def _entries(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "validation" / "summary.json").read_bytes())["metric_per_case"])
