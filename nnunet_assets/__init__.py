"""A Dagster asset graph for nnU-Net v2 cross-validation, tracked in MLflow."""

# Nothing is imported here: the command has yet to take the current folder out of `sys.path` (see `cli`).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

# Name: module and attribute. On demand: whoever imports the package for its definitions or its command line needs
# neither trainer nor summary.
_EXPORTS = {
    "create_tracked_trainer": ("workflows.tracked_trainer", "create_tracked_trainer"),
    "summarize_experiment": ("workflows.recorded_summaries", "summarize_experiment"),
    "log_cv_summary": ("workflows.recorded_summaries", "log_cv_summary"),
    "export_csv": ("workflows.export_tables", "export_csv"),
    "export_latex": ("workflows.export_tables", "export_latex"),
    "CVSummary": ("core.summary.cv_summary", "CvSummary"),
    "FoldResult": ("core.fold.fold_result", "FoldResult"),
}
__all__ = ["__version__", *_EXPORTS]  # noqa: PLE0604 (the names of a table are strings)


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)
