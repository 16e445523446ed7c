"""What scripts and notebooks call: what the commands do, a function each, with the same result and without Dagster.

A project is its folder; None: `NNUNET_ASSETS_PROJECT`, else the current folder. Its `.env` counts as for the commands.
How far the work is goes to Python's logging, or to the `Progress` that is given. What goes wrong is raised as an
`errors.NnunetAssetsError`, a full sentence.
"""

from nnunet_assets.api.dataset import check, import_dataset
from nnunet_assets.api.fold import adopt, sync, train_fold
from nnunet_assets.api.model import best, ensemble, package, predict
from nnunet_assets.api.registry import models, promote, register
from nnunet_assets.api.results import accept, compare, evaluate, summarize, verify
from nnunet_assets.core.fold.fold_result import FoldResult
from nnunet_assets.core.summary.cv_summary import CvSummary as CVSummary
from nnunet_assets.workflows.fold.tracked_trainer import create_tracked_trainer
from nnunet_assets.workflows.results.export_tables import export_csv, export_latex
from nnunet_assets.workflows.results.recorded_summaries import log_cv_summary, summarize_experiment

__all__ = [
    "CVSummary",
    "FoldResult",
    "accept",
    "adopt",
    "best",
    "check",
    "compare",
    "create_tracked_trainer",
    "ensemble",
    "evaluate",
    "export_csv",
    "export_latex",
    "import_dataset",
    "log_cv_summary",
    "models",
    "package",
    "predict",
    "promote",
    "register",
    "summarize",
    "summarize_experiment",
    "sync",
    "train_fold",
    "verify",
]
