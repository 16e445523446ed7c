"""The assets of a dataset."""
