"""The model registry of MLflow: what is registered, under which names, and how it comes back."""
