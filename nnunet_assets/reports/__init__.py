"""Summary in, bytes or text out. No Dagster, no MLflow."""
