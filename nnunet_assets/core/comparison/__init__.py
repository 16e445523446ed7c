"""Experiments side by side on the cases that they share."""
