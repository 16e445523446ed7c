"""How the predictions of a test set are evaluated: as the validation cases are, and against them. Knows no Dagster.

Imported where it is needed: numpy comes with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.assets.summary.cv_evaluation import progress_log
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.evaluation_files import PARQUET_FILE, evaluation_folder
from nnunet_assets.core.evaluation.gap import (
    GAP_COLUMNS,
    GAP_FILE,
    GAP_TABLE,
    TESTED_FOLDER,
    Gap,
    find_gaps,
    gaps_to_json,
)
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import commit_sha256
from nnunet_assets.core.text.places import Places
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.nnunet.predictions.ensemble import Ensemble
from nnunet_assets.nnunet.predictions.evaluation import evaluate_cases
from nnunet_assets.nnunet.predictions.predicted_cases import (
    PredictedCases,
    cases_of_folders,
    cases_of_folds,
    references_folder,
)
from nnunet_assets.nnunet.predictions.prediction import Predicted
from nnunet_assets.reports.tables.case_table import read_case_names, read_metrics, write_case_table
from nnunet_assets.reports.tables.evaluation_tables import write_label_tables
from nnunet_assets.reports.tables.gap_tables import gaps_to_csv


@dataclass(frozen=True)
class EvaluatedEnsemble:
    """What an ensemble scores on the test set.

    Attributes:
        folder: Where the files are: those of an evaluation, `gap.json` and `gap.csv`.
        evaluation: Of the test cases, at least one.
        gaps: To the cross-validation.
    """

    folder: Path
    evaluation: Evaluation
    gaps: list[Gap]

    @property
    def gap_files(self) -> list[Path]:
        """The gaps as JSON and as CSV."""
        return [self.folder / GAP_FILE, self.folder / GAP_TABLE]


def evaluate_validation(roots: Roots, ensemble: Ensemble, dataset: DatasetConfig, say: Callable[[str], None]) -> Path:
    """Brings the evaluation of the folds' validation cases up to date and returns the table of its cases.

    `cv_evaluation` made it, as a rule; then nothing is computed.

    Raises:
        EvaluationError: Another process evaluates them.
    """
    references = references_folder(roots, ensemble.experiment.dataset)
    found = cases_of_folds(ensemble.folder, references, ensemble.folds, ensemble.experiment.title)
    folder = evaluation_folder(ensemble.folder)
    _evaluate(found, dataset, folder, say, Places.of(roots)).refuse_empty()
    return folder / PARQUET_FILE


def evaluate_predictions(
    ensemble: Ensemble,
    predicted: Predicted,
    references: Path,
    validation: Path,
    *,
    roots: Roots,
    dataset: DatasetConfig,
    say: Callable[[str], None],
) -> EvaluatedEnsemble:
    """Evaluates the predictions of a test set, writes the gap to the validation cases, and returns both.

    Args:
        references: Folder of the references.
        validation: What `evaluate_validation` returned.

    Raises:
        EvaluationError: No case could be evaluated, or another process evaluates them.
    """
    found = cases_of_folders(predicted.folder, references, predicted.folder / DATASET_JSON)
    found.subject = f"{ensemble.experiment.title}, test set"
    folder = ensemble.experiment.summary_folder(roots) / TESTED_FOLDER
    evaluation = _evaluate(found, dataset, folder, say, Places.of(roots))
    evaluation.refuse_empty()
    table = folder / PARQUET_FILE
    gaps = find_gaps(read_metrics(table, GAP_COLUMNS), read_metrics(validation, GAP_COLUMNS), read_case_names(table))
    commits = {fold: commit_sha256(ensemble.folder / fold) for fold in ensemble.folds}
    write_json_atomically(folder / GAP_FILE, gaps_to_json(gaps, predicted.digest, commits))
    write_atomically(folder / GAP_TABLE, gaps_to_csv(gaps).encode())
    return EvaluatedEnsemble(folder, evaluation, gaps)


def _evaluate(
    found: PredictedCases, dataset: DatasetConfig, folder: Path, say: Callable[[str], None], places: Places
) -> Evaluation:
    policy = metric_policy(found.description, dataset.nsd_tolerance_mm, dataset.lesion_labels)
    return evaluate_cases(
        found,
        policy,
        folder,
        write_table=write_case_table,
        write_labels=write_label_tables,
        on_progress=progress_log(say),
        places=places,
    )
