"""Whether a published file still says what the folds say: found by its seal, made anew, and walked down to the data."""
