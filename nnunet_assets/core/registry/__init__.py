"""What a registered model must show before it takes the place of another."""
