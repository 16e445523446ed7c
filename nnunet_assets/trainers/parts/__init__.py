"""What the trainers are put together from."""
