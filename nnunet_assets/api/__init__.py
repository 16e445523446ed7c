"""What scripts and notebooks call: what the commands do, a function each, with the same result and without Dagster.

A project is its folder; None: `NNUNET_ASSETS_PROJECT`, else the current folder. Its `.env` counts as for the commands.
How far the work is goes to Python's logging, or to the `Progress` that is given. What goes wrong is raised as an
`errors.NnunetAssetsError`, a full sentence.
"""

from nnunet_assets.api.catalogue import declarations, list_experiments, new_trainer, trainers
from nnunet_assets.api.dataset import check, import_dataset
from nnunet_assets.api.fold import adopt, cross_validate, dry_run, sync, train_again, train_fold
from nnunet_assets.api.model import best, ensemble, package, predict
from nnunet_assets.api.registry import clear_models, models, promote, register
from nnunet_assets.api.results import accept, compare, evaluate, summarize, verify
from nnunet_assets.api.search import adopt_trial, search, search_status
from nnunet_assets.api.tracked import export_csv, export_latex, log_cv_summary, summarize_experiment
from nnunet_assets.api.tracker import Tracker, get_run_url
from nnunet_assets.core.summary.cross_validation import CVSummary, FoldResult
from nnunet_assets.workflows.fold.tracked_trainer import create_tracked_trainer
from nnunet_assets.workflows.fold.tracker_config import TrackerConfig

__all__ = [
    "CVSummary",
    "FoldResult",
    "Tracker",
    "TrackerConfig",
    "accept",
    "adopt",
    "adopt_trial",
    "best",
    "check",
    "clear_models",
    "compare",
    "create_tracked_trainer",
    "cross_validate",
    "declarations",
    "dry_run",
    "ensemble",
    "evaluate",
    "export_csv",
    "export_latex",
    "get_run_url",
    "import_dataset",
    "list_experiments",
    "log_cv_summary",
    "models",
    "new_trainer",
    "package",
    "predict",
    "promote",
    "register",
    "search",
    "search_status",
    "summarize",
    "summarize_experiment",
    "sync",
    "train_again",
    "train_fold",
    "trainers",
    "verify",
]
