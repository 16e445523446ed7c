"""A Dagster asset graph for nnU-Net v2 cross-validation, tracked in MLflow."""

__version__ = "0.1.0"
