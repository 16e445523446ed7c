"""An evaluation and a predicted test set for those who build on them; their tables are read when they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.evaluation.evaluation_files import EVALUATION_FILE, PARQUET_FILE
from nnunet_assets.core.files.json_file import load_materialized, read_json
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.errors import EvaluationError

if TYPE_CHECKING:
    from nnunet_assets.core.evaluation.gap import Gap


@dataclass(frozen=True)
class CaseEvaluation:
    """Saved predictions, measured case by case.

    Attributes:
        folder: Where the files lie.
        content: What `evaluation.json` says: definitions, policy, what each label comes to, problems.
    """

    folder: Path
    content: Mapping[str, Any]

    @property
    def labels(self) -> Mapping[str, Any]:
        """By label name, what it comes to over all cases; empty where the folds must not be taken together."""
        return self.content["labels"] or {}

    @property
    def table(self) -> Path:
        """A row a case and label, as a Parquet file."""
        return self.folder / PARQUET_FILE

    def rows(self) -> list[dict[str, Any]]:
        """Returns the rows of the table with full precision; None is undefined."""
        from nnunet_assets.reports.tables.case_table import read_case_rows

        return read_case_rows(self.table)


@dataclass(frozen=True)
class TestPredictions:
    """A test set that all folds together predicted.

    Attributes:
        folder: The masks, `CASE.ENDING`.
        cases: Their names, sorted.
        file_ending: Of the masks.
        evaluation: Of these masks; None: the test set has no references.
        gaps: To the validation cases, by label and metric; empty without references.
    """

    __test__ = False  # pytest takes classes of such a name for its own

    folder: Path
    cases: tuple[str, ...]
    file_ending: str
    evaluation: CaseEvaluation | None = None
    gaps: "tuple[Gap, ...]" = ()

    def mask(self, case: str) -> Path:
        """Returns where the mask of a case lies."""
        return self.folder / f"{case}{self.file_ending}"


def read_case_evaluation(folder: Path, asset: str) -> CaseEvaluation:
    """Returns the evaluation in a folder, as it was made.

    Args:
        folder: Where its files lie.
        asset: What makes it.

    Raises:
        EvaluationError: There is none, or it is damaged.
    """
    content = load_materialized(folder / EVALUATION_FILE, asset, EvaluationError)
    found = CaseEvaluation(folder, content)
    if not found.table.is_file():
        raise EvaluationError(f"{found.table} is missing. Materialize {asset} first.")
    return found


def read_test_predictions(roots: Roots, experiment: Experiment) -> TestPredictions:
    """Returns the predictions of an experiment's test set that are there, as they were when they were made.

    Raises:
        EvaluationError: There are none, or what was measured of them is damaged.
        DatasetError: The dataset.json beside them cannot be used.
    """
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
    from nnunet_assets.core.evaluation.gap import GAP_FILE, TESTED_FOLDER, gaps_from_json
    from nnunet_assets.nnunet.predictions.prediction import predictions_of

    folder = predictions_of(experiment, roots, "").folder
    if not (folder / DATASET_JSON).is_file():
        raise EvaluationError(f"{folder} has no whole test set. Materialize test_predictions first.")
    ending = parse_dataset_json(folder / DATASET_JSON).file_ending
    cases = tuple(sorted(predictions_of(experiment, roots, ending).predicted()))
    tested = experiment.summary_folder(roots) / TESTED_FOLDER
    gaps = read_json(tested / GAP_FILE)
    if gaps is None:
        return TestPredictions(folder, cases, ending)
    found = gaps_from_json(gaps, gaps.get("folds", {}))
    return TestPredictions(folder, cases, ending, read_case_evaluation(tested, "test_predictions"), tuple(found or ()))
