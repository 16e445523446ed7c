"""Predicted cases against their references: found, paired, measured, and kept while the files stay."""
