"""Checkpoints: written whole, read without running what they carry."""
