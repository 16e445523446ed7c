"""A fold's MLflow run as the use cases keep it: beside a training, for an adopted fold, and with its files."""
