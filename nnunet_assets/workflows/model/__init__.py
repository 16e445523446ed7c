"""From finished folds to a model that people use: packed, chosen, and predicting."""
