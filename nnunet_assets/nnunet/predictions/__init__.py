"""Predictions, of validation cases and of the test set, and their evaluation."""
