"""What a dataset and its plans say, and what is found wrong with them."""
