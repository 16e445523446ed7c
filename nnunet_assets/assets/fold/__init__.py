"""The fold models."""
