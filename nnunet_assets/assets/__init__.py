"""One asset a file: read config, call one function, return a MaterializeResult."""

from nnunet_assets.assets.graph import (
    dataset_definitions,
    ensemble_definitions,
    experiment_definitions,
    search_definitions,
)

__all__ = ["dataset_definitions", "ensemble_definitions", "experiment_definitions", "search_definitions"]
