"""A search for hyperparameters: trials are folds as any, and Ray Tune says which begin and which are stopped."""
