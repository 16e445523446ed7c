"""The MLflow store: the client, where it is, what things are called there and what may leave for it."""
