"""What the run of a finished fold holds of its result: the scores by case where its files are there, else the means.

The files are those that the fold was committed with (manifest, nnU-Net's `summary.json`, `dataset.json`), so that a
result read from MLflow is the one on the fold's own disk, to the last digit, and is checked as that one is.
"""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.dataset.label_rules import naming_problem
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.files.regular_file import read_regular
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, MANIFEST_FILE, UNKNOWN, FoldInputs, Manifest, commit_sha256
from nnunet_assets.core.fold.fold_provenance import OF_ONE_PROCESS, settings_of
from nnunet_assets.core.fold.fold_result import ScoredFold, read_fold_result
from nnunet_assets.core.summary.fold_means import FoldMeans, Means, Measure
from nnunet_assets.core.training.training_end import TrainingEnd, training_end
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, scores_digest
from nnunet_assets.errors import SummaryError
from nnunet_assets.tracking.reading.recall import unflattened
from nnunet_assets.tracking.runs.runs import scores_of
from nnunet_assets.tracking.store import names

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Where the files lie in a fold's folder, by their names in the run.
FILES = {
    Path(SUMMARY_FILE).name: SUMMARY_FILE,
    MANIFEST_FILE: f"{OWN_FOLDER}/{MANIFEST_FILE}",
    DATASET_JSON: DATASET_JSON,
}

METRICS: Mapping[Measure, tuple[str, str]] = {
    "dice": (names.VAL_DICE_MEAN, names.VAL_DICE),
    "iou": (names.VAL_IOU_MEAN, names.VAL_IOU),
}
"""The foreground's metric, and what those of the labels begin with."""


def is_validated(run: "Run") -> bool:
    """Says whether a run that is FINISHED holds a finished fold.

    One that this package's own process trained ends so when the fold is committed; a trainer that somebody's own script
    called (`create_tracked_trainer`) may never have been validated.
    """
    return names.TRAINING_HASH in run.data.tags or any(name.startswith(names.VAL_DICE) for name in run.data.metrics)


def fold_result(client: "MlflowClient", run: "Run", fold: str) -> ScoredFold | None:
    """Returns the scores by case; None where the run does not have the files, or not yet those of its last scores.

    Raises:
        SummaryError: A file is torn, or not the one that the fold was committed with.
    """
    run_id = run.info.run_id
    if not set(FILES) <= {file.path for file in client.list_artifacts(run_id)}:
        return None
    with tempfile.TemporaryDirectory() as place:
        fold_folder = Path(place, fold)
        for name, path in FILES.items():
            target = fold_folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_artifacts(run_id, name, str(target.parent))
        try:
            manifest = Manifest.from_json(_json(fold_folder / FILES[MANIFEST_FILE]))
            description = _json(fold_folder / DATASET_JSON)
            if problem := naming_problem(description):
                raise ValueError(f"{DATASET_JSON}: {problem}.")  # noqa: TRY301 (as whatever else is wrong with them)
            result = read_fold_result(
                fold_folder,
                description["labels"],
                manifest,
                manifest.details["validation_cases"],
                file_ending=description["file_ending"],
                commit_sha256=commit_sha256(fold_folder),
            )
            # Files of earlier scores: it was validated again, and the upload was not finished.
            is_last = scores_of(run) in (None, scores_digest(read_regular(fold_folder / SUMMARY_FILE)))
        except (ValueError, KeyError, TypeError, SummaryError) as error:
            text = str(error).replace(f"{fold_folder}/", "")
            raise SummaryError(
                f"The files of the MLflow run {run_id} ({fold}) cannot be read: {text} Those on the fold's own disk "
                "stand: summarize its results folder, with --results."
            ) from error
    return replace(result, training=_training(run)) if is_last else None


def fold_means(run: "Run", fold: str) -> FoldMeans:
    """Returns what the run's metrics say of a finished fold; a label without a metric is undefined."""
    metrics: Mapping[str, float] = run.data.metrics
    means: dict[Measure, Means] = {}
    for measure, (foreground, prefix) in METRICS.items():
        found = {name: metrics[name] for name in metrics if name.startswith(f"{prefix}/")}
        labels = {names.unescaped(name.partition("/")[2]): _defined(value) for name, value in found.items()}
        means[measure] = Means(_defined(metrics.get(foreground)), dict(sorted(labels.items())))
    is_adopted = names.ADOPTED in run.data.tags
    settings = _settings(run, is_adopted=is_adopted)
    training = _training(run)
    return FoldMeans(fold, run.info.run_id, _inputs(run), means, _validated(run), settings, is_adopted, training)


def _training(run: "Run") -> TrainingEnd:
    return training_end(run.data.metrics, run.info.run_id, run.info.status)


def _inputs(run: "Run") -> FoldInputs:
    tags = run.data.tags
    return FoldInputs(
        raw_hash=tags.get(names.RAW_HASH, UNKNOWN),
        plans_hash=tags.get(names.PLANS_HASH, UNKNOWN),
        splits_hash=tags.get(names.SPLITS_HASH, UNKNOWN),
        training_hash=tags.get(names.TRAINING_HASH, UNKNOWN),
    )


def _settings(run: "Run", *, is_adopted: bool) -> dict[str, Any]:
    """Returns the training settings among the run's parameters, as `fold_provenance` takes them from a manifest."""
    params = unflattened(run.data.params)
    if is_adopted:
        unproved = OF_ONE_PROCESS if names.SEVERAL_GPUS in run.data.tags else ()
        proved = {name: value for name, value in (params.get("trainer") or {}).items() if name not in unproved}
        return settings_of({"settings": proved})
    return settings_of({"overrides": params.get("overrides") or {}, "options": params.get("options") or {}})


def _validated(run: "Run") -> str:
    tags = run.data.tags
    # Runs of version 0.1 have no such tag, and that version validated the final checkpoint.
    is_ours = names.TRAINING_HASH in tags and names.ADOPTED not in tags
    return str(tags.get(names.VALIDATED, FINAL_CHECKPOINT if is_ours else UNKNOWN))


def _json(path: Path) -> dict[str, Any]:
    content = load_json(path)
    if not isinstance(content, dict):
        raise TypeError(f"{path.name} is not an object.")
    return content


def _defined(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
