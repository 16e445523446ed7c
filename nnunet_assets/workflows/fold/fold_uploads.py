"""The files that a fold's MLflow run gets: nnU-Net's own, and what is made for it from journal, splits and results.

What lies on the disk is named; what is made comes as bytes. A part that cannot be made is left out with a sentence.
"""

import json
import platform
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import FULL_FOLD, OWN_FOLDER, FoldPlace, fold_index
from nnunet_assets.core.fold.commit import MANIFEST_FILE
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.text.numbers import apart
from nnunet_assets.processes.child import LOG_FILE
from nnunet_assets.processes.variables import CHECKPOINTS_VARIABLE
from nnunet_assets.reports.figures.curves import learning_curve_png
from nnunet_assets.reports.figures.gradient_curve import gradient_curve_png
from nnunet_assets.reports.tables.case_scores import cases_to_csv

CHECKPOINTS = ("checkpoint_best.pth", "checkpoint_final.pth")
"""The best one first: it may have gone before the final one reaches the limit of a server."""


def files_of(fold_folder: Path) -> list[Path]:
    """Returns what a finished fold has on the disk, small files only."""
    model_folder = fold_folder.parent
    files = [
        fold_folder / OWN_FOLDER / MANIFEST_FILE,
        fold_folder / "validation" / "summary.json",
        fold_folder / "debug.json",
        model_folder / "plans.json",
        model_folder / "dataset.json",
        model_folder / "dataset_fingerprint.json",
    ]
    return [*(file for file in files if file.is_file()), *logs_of(fold_folder)]


def logs_of(fold_folder: Path) -> list[Path]:
    """Returns nnU-Net's own logs, and what the fold's process printed last."""
    return [*sorted(fold_folder.glob("training_log_*.txt")), *fold_folder.glob(f"{OWN_FOLDER}/{LOG_FILE}")]


def checkpoints_of(fold_folder: Path, limit_mb: float, progress: Progress) -> list[Path]:
    """Returns the checkpoints that are not larger than the limit, in megabytes (10^6 bytes); 0: none."""
    found = []
    for path in (fold_folder / name for name in CHECKPOINTS if limit_mb > 0):
        if path.is_file():
            size_mb = path.stat().st_size / 1e6
            if size_mb <= limit_mb:
                found.append(path)
            else:
                size, _ = apart(size_mb, limit_mb, 1)
                progress.say(f"{path.name} is not uploaded: {size} MB, {CHECKPOINTS_VARIABLE} is {limit_mb:g}.")
    return found


def contents_of(
    place: FoldPlace, scores: Callable[[], ScoredSummary | None], splits: Callable[[], Any], progress: Progress
) -> dict[str, bytes]:
    """Returns file name to content of what is made for the run of a fold that has ended.

    Args:
        place: Of the fold.
        scores: Returns what `scores_of` does.
        splits: Returns the split that the fold is of, in nnU-Net's form.
        progress: Is warned of what cannot be made.
    """
    records = list(read_records(journal_path(place.folder)))
    makers: Mapping[str, Callable[[], bytes | None]] = {
        "learning_curve.png": lambda: learning_curve_png(records),
        "gradient_norm.png": lambda: gradient_curve_png(records),
        "history.json": lambda: _json(history(records)),
        "splits.json": lambda: _splits(splits, place.fold),
        "validation_cases.csv": lambda: cases_to_csv(found).encode() if (found := scores()) else None,
        "environment.txt": lambda: environment().encode(),
    }
    contents = {}
    for name, make in makers.items():
        try:
            content = make()
        except Exception as error:  # noqa: BLE001 (a file for tracking that cannot be made must not fail the fold)
            progress.warn(f"{name} could not be made for MLflow ({type(error).__name__}): {error}")
            continue
        if content is not None:
            contents[name] = content
    return contents


def history(records: Iterable[Record]) -> dict[str, list[Any]]:
    """Returns every series by epoch, as long as `epoch`, which numbers them; None where a value is undefined."""
    epochs = {record.epoch: record.values for record in records if record.kind == "epoch" and record.epoch is not None}
    order = sorted(epochs)
    series = dict.fromkeys(name for epoch in order for name in epochs[epoch])
    return {"epoch": [*order], **{name: [epochs[epoch].get(name) for epoch in order] for name in series}}


@cache
def environment() -> str:
    """Returns Python and every installed package with its version, a line each, as pip takes them."""
    packages = {found.name.lower(): f"{found.name}=={found.version}" for found in distributions() if found.name}
    return "\n".join([f"# Python {platform.python_version()}", *(packages[name] for name in sorted(packages))]) + "\n"


def _splits(splits: Callable[[], Any], fold: str) -> bytes | None:
    """Returns the case ids of the fold; None for a model of all cases, which has no split."""
    return None if fold == FULL_FOLD else _json({"fold": fold, **splits()[fold_index(fold)]})


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
