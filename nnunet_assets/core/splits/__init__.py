"""Splits of cases into folds as values."""
