"""What is seen of a training while it runs: what breaks it, case by case, and what people asked to watch."""
