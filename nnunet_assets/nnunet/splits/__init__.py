"""The split of a dataset: how it is made, where it lies, and who trained on it."""
