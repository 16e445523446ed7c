"""Predictions of cases, of the test set and of new images: asked for, made in a child, and written."""
