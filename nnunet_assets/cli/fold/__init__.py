"""Commands for folds."""
