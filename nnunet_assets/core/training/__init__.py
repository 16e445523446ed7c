"""The options of a training, what they may not say together, one trained epoch, and where a training ended."""
