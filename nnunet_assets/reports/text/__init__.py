"""The pieces of tables and pages: rows, escapes, notes."""
