"""The one place that touches MLflow."""
