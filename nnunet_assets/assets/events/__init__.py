"""What assets tell Dagster: failures, lines of the log, metadata of MLflow runs."""
