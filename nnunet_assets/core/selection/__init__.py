"""Which of the candidates of a dataset is taken, and what the one that is taken may be expected to score."""
