"""The raw dataset: its cases found and named, and checked together."""
