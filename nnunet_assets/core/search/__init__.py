"""A search for hyperparameters: which points a space has, what became of its trials, and how they are compared."""
