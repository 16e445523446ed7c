"""The asset of an ensemble of experiments."""
