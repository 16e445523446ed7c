"""Jobs: preparation, folds, summary with its exports; each alone.

"Everything" is an asset backfill, not a job: a partitioned job over the whole graph would preprocess once a fold.
"""

import re
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.asset_keys import fold_model_key, predictions_key, summary_keys
from nnunet_assets.core.files.layout import Experiment, dataset_key, plans_key
from nnunet_assets.declarations.project import Project

if TYPE_CHECKING:
    # What `define_asset_job` returns; Dagster has no public name for it.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJob


def job_name(verb: str, *parts: str) -> str:
    """Returns `verb__part__part` in the characters that Dagster allows.

    Parts that differ may become the same name; declarations in which they would are refused (`declarations.rules`).
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", "__".join((verb, *parts)))


def build_jobs(project: Project) -> "list[AssetJob]":
    """Returns the jobs of every declared dataset and experiment."""
    jobs = []
    for dataset in project.datasets:
        plans = sorted({experiment.plans for experiment in project.experiments_of(dataset.dataset)})
        keys = [dataset_key(dataset.dataset, name) for name in ("raw_dataset", "case_list", "splits")]
        keys += [plans_key(dataset.dataset, name) for name in plans]
        jobs.append(
            dg.define_asset_job(
                job_name("prepare", dataset.dataset),
                [dg.AssetKey(key) for key in keys],
                description=f"Check the raw data of {dataset.dataset}, split it, plan and preprocess it.",
            )
        )
    for config in project.experiments:
        jobs += _experiment_jobs(config.identity, has_test_set=config.test_set)
    return jobs


def _experiment_jobs(experiment: Experiment, *, has_test_set: bool) -> "list[AssetJob]":
    predicted = [predictions_key(experiment)] if has_test_set else []
    return [
        dg.define_asset_job(
            job_name("train", *experiment.key_prefix),
            [fold_model_key(experiment)],
            description=f"Train one fold of {experiment.title}; a backfill trains them all.",
        ),
        dg.define_asset_job(
            job_name("summarize", *experiment.key_prefix),
            [*summary_keys(experiment), *predicted],
            description=f"Summarize the finished folds of {experiment.title}, write its tables and evaluate its cases"
            + (", and predict the test set." if predicted else "."),
        ),
    ]
