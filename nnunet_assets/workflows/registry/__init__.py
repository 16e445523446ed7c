"""From a finished model to a version in MLflow's registry that people find, load and promote."""
