"""Ensembles of experiments: the mean of their probabilities on the validation cases of each fold, scored."""
