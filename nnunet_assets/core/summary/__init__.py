"""The result of a cross-validation, over its folds."""
