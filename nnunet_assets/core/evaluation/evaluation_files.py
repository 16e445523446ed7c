"""Where the files of an evaluation lie, and what one says, read back: `nnunet_assets/evaluation/` in a model's folder.

That folder is for what the declaration asks for, which reports and figures show; an evaluation by another policy, with
other references or of other folds lies in a folder of its own in it.
"""

from pathlib import Path
from typing import Any

from nnunet_assets.core.evaluation.metric_policy import READ_VERSIONS, MetricPolicy
from nnunet_assets.core.files.json_file import load_materialized
from nnunet_assets.core.files.layout import SUMMARY_FOLDER
from nnunet_assets.errors import EvaluationError

EVALUATION_FILE, PARQUET_FILE, CSV_FILE = "evaluation.json", "cases.parquet", "cases.csv"
LABELS_CSV, LABELS_MARKDOWN, LABELS_LATEX = "labels.csv", "labels.md", "labels.tex"


def evaluation_folder(parent: Path) -> Path:
    """Returns where the evaluation of a model's folder, or of a plain folder of predictions, is written."""
    return parent / SUMMARY_FOLDER / "evaluation"


def read_evaluation(folder: Path, policy: MetricPolicy) -> dict[str, Any]:
    """Returns what the evaluation in a folder says, as `Evaluation.to_json` wrote it, now or in an older version.

    Args:
        folder: `evaluation_folder`.
        policy: What should have been measured.

    Raises:
        EvaluationError: There is none, it is damaged, or something else was measured.
    """
    file = folder / EVALUATION_FILE
    content: dict[str, Any] = load_materialized(file, "cv_evaluation", EvaluationError)
    if not (table := folder / PARQUET_FILE).is_file():
        raise EvaluationError(f"{table} is missing. Materialize cv_evaluation first.")
    if not isinstance(content, dict) or "policy_digest" not in content:
        raise EvaluationError(f"{file} is not as this package writes it. Materialize cv_evaluation again.")
    if content["policy_digest"] not in map(policy.digest_of_version, READ_VERSIONS):
        raise EvaluationError(
            f"{file} was measured by other rules than are declared (labels, tolerances, lesions, or an older version "
            "of the metrics). Materialize cv_evaluation again."
        )
    return content
