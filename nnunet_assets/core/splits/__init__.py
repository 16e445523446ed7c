"""Splits of cases into folds, and the files that hold them."""
