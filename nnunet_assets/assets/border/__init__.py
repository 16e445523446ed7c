"""What all assets need to speak with Dagster and MLflow."""
