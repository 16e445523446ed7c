"""Texts that people read, and names that people write: numbers, redaction, patterns."""
