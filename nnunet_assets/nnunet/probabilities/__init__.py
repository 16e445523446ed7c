"""The probabilities of finished folds on their validation cases: made once a member, and kept."""
