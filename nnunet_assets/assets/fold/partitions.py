"""The key of an experiment's folds, and their partitions: one a fold, with nnU-Net's folder name as key.

The folds of an ensemble are one asset without partitions, `ensemble`: its members predict all of them in one go.
"""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.core.files.layout import Experiment


def fold_model_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of the experiment's partitioned folds."""
    return dg.AssetKey([*experiment.key_prefix, "fold_model"])


def ensemble_key(ensemble: Experiment) -> dg.AssetKey:
    """Returns the key of an ensemble's folds."""
    return dg.AssetKey([*ensemble.key_prefix, "ensemble"])


def folds_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of what is summarized: the folds of an experiment, or of an ensemble of several."""
    return ensemble_key(experiment) if experiment.is_ensemble else fold_model_key(experiment)


def fold_partitions(folds: Sequence[str]) -> dg.StaticPartitionsDefinition:
    """Returns the partitions `fold_0`, `fold_1`, ... of an experiment."""
    return dg.StaticPartitionsDefinition(list(folds))
