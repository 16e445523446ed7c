"""Tests of what they are put together from."""
