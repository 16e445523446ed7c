"""Assets of a search for hyperparameters."""
