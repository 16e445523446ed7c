"""The MLflow runs of what is made from folds and datasets."""
