"""Estimates over cases and folds: intervals, tests, ranks, and what an object counts."""
