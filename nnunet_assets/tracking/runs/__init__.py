"""What is in the MLflow store: which run is whose, what runs are called, when they began, and their records."""
