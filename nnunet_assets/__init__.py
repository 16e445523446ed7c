"""A Dagster asset graph for nnU-Net v2 cross-validation, tracked in MLflow.

What scripts call is in `nnunet_assets.api`, and is here under the same names.
"""

# Nothing is imported here: the command has yet to take the current folder out of `sys.path` (see `cli`), and whoever
# imports the package for its definitions needs neither trainer nor summary. Type checkers read the first branch.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nnunet_assets.api import (
        CVSummary,
        FoldResult,
        Tracker,
        TrackerConfig,
        accept,
        adopt,
        adopt_trial,
        best,
        check,
        clear_models,
        compare,
        create_tracked_trainer,
        cross_validate,
        declarations,
        dry_run,
        ensemble,
        evaluate,
        export_csv,
        export_latex,
        get_run_url,
        import_dataset,
        list_experiments,
        log_cv_summary,
        models,
        new_trainer,
        package,
        predict,
        promote,
        register,
        search,
        search_status,
        summarize,
        summarize_experiment,
        sync,
        train_again,
        train_fold,
        trainers,
        verify,
    )
else:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from nnunet_assets import api

        return getattr(api, name)


__version__ = "0.1.0"
__all__ = [
    "CVSummary",
    "FoldResult",
    "Tracker",
    "TrackerConfig",
    "__version__",
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
