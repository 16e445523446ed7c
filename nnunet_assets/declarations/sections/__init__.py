"""The sections of a declaration: splits, variant, where it trains, what is tracked, watched and registered of it."""
