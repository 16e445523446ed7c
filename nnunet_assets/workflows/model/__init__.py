"""From finished folds to a model that people use: packed, and handed on."""
