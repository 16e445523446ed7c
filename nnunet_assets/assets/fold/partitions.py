"""The key of an experiment's folds, and their partitions: one a fold, with nnU-Net's folder name as key."""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.core.files.layout import Experiment


def fold_model_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of the experiment's partitioned folds."""
    return dg.AssetKey([*experiment.key_prefix, "fold_model"])


def fold_partitions(folds: Sequence[str]) -> dg.StaticPartitionsDefinition:
    """Returns the partitions `fold_0`, `fold_1`, ... of an experiment."""
    return dg.StaticPartitionsDefinition(list(folds))
