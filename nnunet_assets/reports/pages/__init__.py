"""Pages: HTML in one file."""
