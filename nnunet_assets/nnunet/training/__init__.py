"""What runs inside a fold's process: its training, its loggers, its ranks, its validation and its end."""
