"""Jobs: preparation, folds, summary with its exports; each alone.

"Everything" is an asset backfill, not a job: a partitioned job over the whole graph would preprocess once a fold.
"""

import re
from typing import Any, cast

import dagster as dg
from dagster._core.definitions.asset_selection import KeysAssetSelection
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.graph import ensemble_keys, predictions_key, summary_keys
from nnunet_assets.core.files.layout import dataset_key, plans_key
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.project import Project


class AssetJob(UnresolvedAssetJobDefinition):
    """An asset job that looks at its own assets, and those right before them.

    Dagster's goes over all assets of the project, twice a job: of 1,000 experiments that were 14 million looks.
    """

    def resolve(self, asset_graph: AssetGraph, *given: Any, **more: Any) -> dg.JobDefinition:
        """Returns what Dagster makes of it, whose steps are the same."""
        selection = cast(KeysAssetSelection, self.selection)
        selected = [asset_graph.get(key) for key in selection.selected_keys]
        near: set[dg.AssetKey | dg.AssetCheckKey] = {node.key for node in selected}
        for node in selected:
            near |= {*node.parent_keys, *node.check_keys}
        return super().resolve(AssetGraph.from_assets(asset_graph.assets_defs_for_keys(near)), *given, **more)


def job_name(verb: str, *parts: str) -> str:
    """Returns `verb__part__part` in the characters that Dagster allows.

    Parts that differ may become the same name; declarations in which they would are refused (`declarations.rules`).
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", "__".join((verb, *parts)))


def build_jobs(project: Project) -> list[AssetJob]:
    """Returns the jobs of every declared dataset, experiment and ensemble."""
    of_experiments = [job for config in project.experiments for job in experiment_jobs(config)]
    of_ensembles = [ensemble_job(config) for config in project.ensembles]
    return [*(preparation_job(project, config) for config in project.datasets), *of_experiments, *of_ensembles]


def preparation_name(config: DatasetConfig) -> str:
    """Returns the name of the job of a dataset."""
    return job_name("prepare", config.dataset)


def experiment_job_names(config: ExperimentConfig) -> tuple[str, str]:
    """Returns the names of the jobs of an experiment: the one that trains, and the one that summarizes."""
    prefix = config.identity.key_prefix
    return job_name("train", *prefix), job_name("summarize", *prefix)


def training_jobs(project: Project) -> dict[str, dg.AssetKey]:
    """Returns the jobs that train folds, by name, with the asset of the folds."""
    return {experiment_job_names(one)[0]: fold_model_key(one.identity) for one in project.experiments}


def preparation_keys(project: Project, dataset: str) -> list[dg.AssetKey]:
    """Returns what comes before the folds of a dataset's experiments."""
    plans = project.plans_of(dataset)
    keys = [dataset_key(dataset, name) for name in ("raw_dataset", "case_list", "splits")]
    return [dg.AssetKey(key) for key in [*keys, *(plans_key(dataset, name) for name in plans)]]


def preparation_job(project: Project, config: DatasetConfig) -> AssetJob:
    """Returns the job of a dataset, for the plans of all its experiments."""
    return AssetJob(
        preparation_name(config),
        dg.AssetSelection.assets(*preparation_keys(project, config.dataset)),
        description=f"Check the raw data of {config.dataset}, split it, plan and preprocess it.",
    )


def experiment_jobs(config: ExperimentConfig) -> list[AssetJob]:
    """Returns the jobs of an experiment."""
    experiment = config.identity
    predicted = [predictions_key(experiment)] if config.test_set else []
    train, summarize = experiment_job_names(config)
    return [
        AssetJob(
            train,
            dg.AssetSelection.assets(fold_model_key(experiment)),
            description=f"Train one fold of {experiment.title}; a backfill trains them all.",
        ),
        AssetJob(
            summarize,
            dg.AssetSelection.assets(*summary_keys(experiment), *predicted),
            description=f"Summarize the finished folds of {experiment.title}, write its tables and evaluate its cases"
            + (", and predict the test set." if predicted else "."),
        ),
    ]


def ensemble_job_name(config: EnsembleConfig) -> str:
    """Returns the name of the job of an ensemble."""
    return job_name("ensemble", config.dataset, config.name)


def ensemble_job(config: EnsembleConfig) -> AssetJob:
    """Returns the job of an ensemble."""
    return AssetJob(
        ensemble_job_name(config),
        dg.AssetSelection.assets(*ensemble_keys(config.identity)),
        description=f"Average the probabilities of the members of {config.identity.title}, and score the masks.",
    )
