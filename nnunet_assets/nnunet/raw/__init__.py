"""The raw dataset: its cases found, read and checked."""
