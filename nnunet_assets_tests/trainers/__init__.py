"""Tests of the trainers that come with the package."""
