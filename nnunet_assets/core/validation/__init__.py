"""What nnU-Net says of validation cases in its `summary.json`: their scores, and a digest that names these."""
