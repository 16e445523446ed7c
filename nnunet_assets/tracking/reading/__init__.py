"""What MLflow says of cross-validations, read back."""
