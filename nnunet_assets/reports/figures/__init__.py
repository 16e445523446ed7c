"""Figures for a paper: one a file, each a function from plain values to a matplotlib figure that `style` renders."""
