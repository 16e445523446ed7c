"""Slurm as an engine: its commands, what they are called with, and what they print."""
