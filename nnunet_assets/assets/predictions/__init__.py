"""The test set, predicted and evaluated."""
