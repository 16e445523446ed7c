"""One fold: what it was asked for and made from, its journal, its COMMIT and what it scored."""
