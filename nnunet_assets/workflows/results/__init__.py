"""What a user does with the results of folds."""
