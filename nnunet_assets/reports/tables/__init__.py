"""Tables: CSV, LaTeX, Markdown, Parquet."""
