"""Metrics by case and label, and what they come to."""
