"""The finished folds of an experiment, read from its model folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.dataset.label_rules import naming_problem
from nnunet_assets.core.files.json_file import load_json, readable_json
from nnunet_assets.core.files.layout import FULL_FOLD, MLFLOW_RUN_FILE, OWN_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.fold.fold_result import ScoredFold, fold_result
from nnunet_assets.core.fold.journal import journal_path, last_epoch
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.core.training.training_end import TrainingEnd, training_end
from nnunet_assets.errors import SummaryError


def collect_fold_results(roots: Roots, experiment: Experiment, folds: Sequence[str]) -> list[ScoredFold]:
    """Returns the results of the folds that are finished, in the order of `folds`; unfinished ones are left out.

    Raises:
        SummaryError: A finished fold's scores cannot be read, or are not those of its validation cases.
    """
    return fold_results_in(experiment.model_folder(roots), folds)


def fold_results_in(model_folder: Path, folds: Sequence[str]) -> list[ScoredFold]:
    """Returns what `collect_fold_results` does, of a model folder wherever it lies.

    Raises:
        SummaryError: As for `collect_fold_results`.
    """
    found = (FinishedFold.read(model_folder / fold) for fold in folds)
    return [result_of(finished) for finished in found if finished]


def result_of(finished: FinishedFold) -> ScoredFold:
    """Returns the result of a finished fold as it was read.

    Raises:
        SummaryError: As for `collect_fold_results`.
    """
    path = finished.folder.parent / "dataset.json"  # the model folder's own: what the folds were trained with
    try:
        description = load_json(path)
        problem = naming_problem(description)
    except (OSError, ValueError) as error:
        problem = str(error)
    if problem:
        raise SummaryError(
            f"{path}, by which nnU-Net names the labels of its scores, cannot be read: {problem}. Restore it from "
            "nnUNet_preprocessed."
        )
    return replace(fold_result(finished, description), training=_training_end(finished.folder))


def _training_end(folder: Path) -> TrainingEnd:
    last = last_epoch(journal_path(folder))
    # The file is tracking's, which says in it which run is the fold's.
    run_id = readable_json(folder / OWN_FOLDER / MLFLOW_RUN_FILE).get("run_id")
    return training_end(last.values if last else {}, run_id if isinstance(run_id, str) else None)


def scores_of(experiment: Experiment, finished: FinishedFold) -> ScoredSummary | None:
    """Returns the scores of a fold's validation cases; None for a model of all cases: they say nothing about new ones.

    Raises:
        SummaryError: As for `collect_fold_results`.
    """
    fold = finished.manifest.fold
    return None if fold == FULL_FOLD else summarize(experiment, [fold], [result_of(finished)])
