"""MLflow runs of a script's own, on the spool that folds are tracked by."""
