"""A run that waited in the queue while the YAML was edited says so."""

import dagster as dg

from nnunet_assets.assets.fold.queued import change_since_queued
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets_tests.assets.graphs import declared, graph

STEP = "Dataset001_Tiny__short__nnUNetTrainer__nnUNetPlans__2d__fold_model"


def experiment(num_epochs: int) -> ExperimentConfig:
    variant = VariantConfig(name="short", num_epochs=num_epochs)
    return ExperimentConfig(dataset="Dataset001_Tiny", configuration="2d", variant=variant)


def queued(config: ExperimentConfig, instance: dg.DagsterInstance) -> dg.DagsterRun:
    definitions = graph(declared([DatasetConfig(dataset="Dataset001_Tiny")], [config]))
    return instance.create_run_for_job(definitions.resolve_implicit_global_asset_job_def())


def test_a_fold_whose_declaration_was_edited_while_it_waited_says_so(instance: dg.DagsterInstance) -> None:
    run = queued(experiment(num_epochs=5), instance)
    now = experiment(num_epochs=6).training_hash()

    sentence = str(change_since_queued(instance, run, STEP, now)["changed_since_queued"].value)

    assert "edited after this run was queued" in sentence
    assert now[:16] in sentence
    assert experiment(num_epochs=5).training_hash()[:16] in sentence


def test_a_fold_whose_declaration_stayed_says_nothing(instance: dg.DagsterInstance) -> None:
    run = queued(experiment(num_epochs=5), instance)

    assert change_since_queued(instance, run, STEP, experiment(num_epochs=5).training_hash()) == {}
