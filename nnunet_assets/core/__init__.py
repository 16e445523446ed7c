"""Pure values and rules. Standard library, numpy, scipy and pandas; no Dagster, torch, nnunetv2 or MLflow."""
