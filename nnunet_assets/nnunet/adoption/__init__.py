"""Folds that were trained elsewhere, taken in as they are."""
