"""Commands for models: packed, handed on, and predicting."""
