"""Partitions: one a fold, with nnU-Net's folder name as key."""

from collections.abc import Sequence

import dagster as dg


def fold_partitions(folds: Sequence[str]) -> dg.StaticPartitionsDefinition:
    """Returns the partitions `fold_0`, `fold_1`, ... of an experiment."""
    return dg.StaticPartitionsDefinition(list(folds))
