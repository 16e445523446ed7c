"""A Dagster asset graph for nnU-Net v2 cross-validation, tracked in MLflow."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "create_tracked_trainer"]


def __getattr__(name: str) -> Any:
    # On demand: whoever imports the package for its definitions or its command line needs no trainer.
    if name == "create_tracked_trainer":
        from nnunet_assets.tracked_trainer import create_tracked_trainer

        return create_tracked_trainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
