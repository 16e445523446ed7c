"""Splits, plans and preprocessed cases of a dataset."""
