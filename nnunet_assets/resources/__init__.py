"""The resources that Dagster gives to assets."""
