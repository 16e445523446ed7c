"""What is done with a dataset: imported, checked, made ready for folds."""
