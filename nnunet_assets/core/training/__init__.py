"""The options of a training, what they may not say together, and one trained epoch."""
