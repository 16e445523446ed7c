"""Which assets a declared dataset and a declared experiment become, and the keys by which others name them."""

import re

import dagster as dg

from nnunet_assets.assets.dataset.preprocessed_plans import build_preprocessed_plans
from nnunet_assets.assets.dataset.raw_dataset import build_raw_dataset
from nnunet_assets.assets.dataset.split_checks import build_split_checks
from nnunet_assets.assets.dataset.splits import build_splits
from nnunet_assets.assets.ensemble.ensemble import build_ensemble
from nnunet_assets.assets.ensemble.found_ensembles import build_found_ensembles
from nnunet_assets.assets.fold.fold_model import build_fold_model
from nnunet_assets.assets.fold.full_model import build_full_model
from nnunet_assets.assets.fold.partitions import ensemble_key
from nnunet_assets.assets.model.registered_model import build_registered_model
from nnunet_assets.assets.predictions.predicted_test_set import build_test_predictions
from nnunet_assets.assets.search.search import build_search
from nnunet_assets.assets.summary.best_configuration import build_best_configuration
from nnunet_assets.assets.summary.comparison import build_comparison
from nnunet_assets.assets.summary.cv_evaluation import build_cv_evaluation
from nnunet_assets.assets.summary.cv_figures import build_cv_figures
from nnunet_assets.assets.summary.cv_report import build_cv_report
from nnunet_assets.assets.summary.cv_summary import build_cv_summary
from nnunet_assets.assets.summary.cv_tables import build_cv_tables
from nnunet_assets.assets.summary.dataset_report import build_dataset_report
from nnunet_assets.core.files.layout import (
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    JOBS_POOL,
    TRAINING_POOL,
    Experiment,
    dataset_key,
)
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.search_config import SearchConfig

COMPARISON_ASSETS = ("comparison", "best_configuration", "dataset_report")
SUMMARY_ASSETS = ("cv_summary", "cv_tables", "cv_evaluation", "cv_figures", "cv_report")


def dataset_definitions(project: Project, config: DatasetConfig) -> dg.Definitions:
    """Returns the assets of a dataset; its plans cover every configuration that the project's experiments want.

    Two experiments or more are compared, and reported on one page.
    """
    # As the project read it: with the folds that the files it names come to.
    config = project.dataset(config.dataset)
    group = group_name(config.dataset)
    experiments = project.experiments_of(config.dataset)
    plans = [
        build_preprocessed_plans(
            config=config,
            plans=name,
            configurations=project.configurations_of(config.dataset, name),
            trainers=sorted({one.trainer for one in project.trained_on(config.dataset) if one.plans == name}),
            group=group,
        )
        for name in project.plans_of(config.dataset)
    ]
    identities = [experiment.identity for experiment in experiments]
    compared = [*identities, *(ensemble.identity for ensemble in project.ensembles_of(config.dataset))]
    comparisons = (
        [
            build_comparison(config=config, experiments=compared, project=project, group=group),
            *(
                [build_found_ensembles(config=config, experiments=identities, project=project, group=group)]
                if config.ensembles_to_find.max_members > 1
                else []
            ),
            build_best_configuration(config=config, experiments=compared, project=project, group=group),
            *([build_registered_model(config=config, declared=project, group=group)] if config.registered_as else []),
            build_dataset_report(config=config, experiments=compared, group=group),
        ]
        if len(experiments) > 1
        else []
    )
    settings = config.split_settings(project.root)
    return dg.Definitions(
        assets=[
            build_raw_dataset(config=config, group=group),
            build_splits(config=config, settings=settings, group=group),
            *plans,
            *comparisons,
        ],
        asset_checks=[build_split_checks(config=config, settings=settings)],
    )


def experiment_definitions(project: Project, config: ExperimentConfig) -> dg.Definitions:
    """Returns the assets of a cross-validation experiment."""
    folds, dataset = project.folds_of(config), project.dataset(config.dataset)
    previous = project.previous_stage(config)
    group = experiment_group(config.identity)
    pool = TRAINING_POOL if project.engine_of(config).is_here else JOBS_POOL
    return dg.Definitions(
        assets=[
            build_fold_model(config=config, folds=folds, previous=previous, group=group, pool=pool),
            build_cv_summary(config=config, folds=folds, group=group),
            build_cv_tables(config=config, group=group),
            build_cv_figures(config=config, dataset=dataset, group=group),
            build_cv_report(config=config, dataset=dataset, group=group),
            build_cv_evaluation(config=config, dataset=dataset, folds=folds, group=group),
            *(
                [build_full_model(config=config, previous=previous, group=group, pool=pool)]
                if config.full_model
                else []
            ),
            *(
                [build_test_predictions(config=config, dataset=dataset, folds=folds, previous=previous, group=group)]
                if config.test_set
                else []
            ),
            *([build_registered_model(config=config, declared=project, group=group)] if config.registered_as else []),
        ]
    )


def ensemble_definitions(project: Project, config: EnsembleConfig) -> dg.Definitions:
    """Returns the assets of an ensemble of declared experiments."""
    folds, dataset = project.folds_of_ensemble(config), project.dataset(config.dataset)
    group = experiment_group(config.identity)
    return dg.Definitions(
        assets=[
            build_ensemble(config=config, members=project.members[config.identity], folds=folds, group=group),
            build_cv_summary(config=config, folds=folds, group=group),
            build_cv_tables(config=config, group=group),
            build_cv_figures(config=config, dataset=dataset, group=group),
            build_cv_report(config=config, dataset=dataset, group=group),
            build_cv_evaluation(config=config, dataset=dataset, folds=folds, group=group),
            *([build_registered_model(config=config, declared=project, group=group)] if config.registered_as else []),
        ]
    )


def search_definitions(project: Project, config: SearchConfig) -> dg.Definitions:
    """Returns the asset of a search."""
    return dg.Definitions(
        assets=[build_search(config=config, project=project, group=experiment_group(config.identity))]
    )


def experiment_group(experiment: Experiment) -> str:
    """Returns the group of an experiment in the UI: `short_3d_fullres/Dataset004_Hippocampus`.

    The UI cuts long names, and what follows the slash it shows inside: so the name begins with what tells the
    experiment from the dataset's others, and leaves out what most have.
    """
    if experiment.is_ensemble:
        return f"{group_name(experiment.name)}/{group_name(experiment.dataset)}"
    plans = "" if experiment.plans == DEFAULT_PLANS else experiment.plans.removeprefix("nnUNet")
    trainer = "" if experiment.trainer == DEFAULT_TRAINER else experiment.trainer.removeprefix("nnUNet")
    parts = (experiment.variant, plans, trainer, experiment.configuration)
    return f"{'_'.join(group_name(part) for part in parts if part)}/{group_name(experiment.dataset)}"


def group_name(name: str) -> str:
    """Returns a name in the characters that Dagster takes in a group's; see `jobs.job_name`."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def summary_keys(experiment: Experiment) -> list[dg.AssetKey]:
    """Returns what is made again when a fold of an experiment materializes, or an ensemble."""
    return [dg.AssetKey([*experiment.key_prefix, name]) for name in SUMMARY_ASSETS]


def ensemble_keys(ensemble: Experiment) -> list[dg.AssetKey]:
    """Returns what is made of an ensemble, its folds first."""
    return [ensemble_key(ensemble), *summary_keys(ensemble)]


def predictions_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of the predictions of the test set; an experiment that declares no test set has none."""
    return dg.AssetKey([*experiment.key_prefix, "test_predictions"])


def comparison_keys(dataset: str) -> list[dg.AssetKey]:
    """Returns what is made of all experiments of a dataset together; a dataset with one experiment has none of it."""
    return [dg.AssetKey(dataset_key(dataset, name)) for name in COMPARISON_ASSETS]
