"""Experiments compared on the cases that they share."""
