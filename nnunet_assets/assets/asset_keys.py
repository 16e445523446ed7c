"""The keys of what belongs to an experiment or to a dataset's experiments together."""

import dagster as dg

from nnunet_assets.core.files.layout import Experiment, dataset_key

SUMMARY_ASSETS = ("cv_summary", "cv_tables", "cv_evaluation", "cv_figures", "cv_report")


def summary_keys(experiment: Experiment) -> list[dg.AssetKey]:
    """Returns what is made again when a fold of the experiment materializes."""
    return [dg.AssetKey([*experiment.key_prefix, name]) for name in SUMMARY_ASSETS]


def predictions_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of the predictions of the test set; an experiment that declares no test set has none."""
    return dg.AssetKey([*experiment.key_prefix, "test_predictions"])


def comparison_keys(dataset: str) -> list[dg.AssetKey]:
    """Returns what is made of all experiments of a dataset together; a dataset with one experiment has none of it."""
    return [dg.AssetKey(dataset_key(dataset, name)) for name in ("comparison", "dataset_report")]


def fold_model_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of the experiment's partitioned folds."""
    return dg.AssetKey([*experiment.key_prefix, "fold_model"])
