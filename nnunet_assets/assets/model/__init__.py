"""What people use: models in the registry."""
