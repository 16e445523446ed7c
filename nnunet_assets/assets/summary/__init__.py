"""What is made from the folds of experiments."""
