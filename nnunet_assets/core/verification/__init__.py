"""Whether a published file still says what the project's folds say: what it carries, and what was found about it."""
