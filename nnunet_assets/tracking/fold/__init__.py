"""A fold's MLflow run."""
