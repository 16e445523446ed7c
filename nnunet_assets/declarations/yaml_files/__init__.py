"""One YAML file: its values with their lines, what they declare, and what a slip was meant to be, in sentences."""
