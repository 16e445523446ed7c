"""The asset graph of declarations, without files; and runs of parts of it, as Dagster would make them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import dagster as dg

from nnunet_assets.assets import (
    dataset_definitions,
    ensemble_definitions,
    experiment_definitions,
    search_definitions,
)
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.resources.asset_values import VALUES_KEY, asset_values
from nnunet_assets.resources.mlflow import MlflowResource
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.values.asset_values import AssetPlace, read_fold, read_value

PLAYED = ("registered_model",)
"""Assets for which tests put something that makes nothing on any disk."""


def declared(datasets: Sequence[DatasetConfig], experiments: Sequence[ExperimentConfig] = ()) -> Project:
    """Returns a project that declares these, without plans that say more of cascades than nnU-Net's own names."""
    identities = [config.identity for config in experiments]
    stages = {identity: stage for identity in identities if (stage := identity.previous_stage())}
    return Project(root=Path("/project"), datasets=tuple(datasets), experiments=tuple(experiments), stages=stages)


def resources_of(folder: Path) -> dict[str, Any]:
    """Returns what every asset of the project in that folder needs beside it."""
    return {
        "project": ProjectResource(folder=str(folder)),
        "mlflow": MlflowResource(),
        VALUES_KEY: asset_values,
    }


def graph(project: Project) -> dg.Definitions:
    """Returns the assets of a project."""
    return dg.Definitions.merge(
        dg.Definitions(resources=resources_of(project.root)),
        *(dataset_definitions(project, config) for config in project.datasets),
        *(experiment_definitions(project, config) for config in project.experiments),
        *(ensemble_definitions(project, config) for config in project.ensembles),
        *(search_definitions(project, config) for config in project.searches),
    )


def materialized(
    definitions: dg.Definitions,
    *names: str,
    folder: Path,
    instance: dg.DagsterInstance,
    partition: str | None = None,
    run_config: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Runs the assets whose keys end in these names, all in one run, for the project in that folder.

    With each comes what is made in the same step, as the web UI has it.
    """
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    chosen = [key for asset in assets if any(key.path[-1] in names for key in asset.keys) for key in asset.keys]
    result = dg.materialize(
        [*assets, *(definitions.asset_checks or [])],
        selection=chosen,
        partition_key=partition,
        run_config=run_config,
        instance=instance,
        resources=resources_of(folder),
        raise_on_error=False,
    )
    check_values(result, definitions, folder)
    return result


def check_values(result: dg.ExecuteInProcessResult, definitions: dg.Definitions, folder: Path) -> None:
    """Passes where each asset that was made loads from its files as a value of its type."""
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    settings = Settings.from_environment(folder)
    if not result.success:  # what contradicts itself, or was left by an earlier run, is refused
        return
    for event in result.get_asset_materialization_events():
        key = event.materialization.asset_key
        made_of_nothing = {label for label in event.materialization.metadata if label == "chosen"}
        if key.path[-1] in PLAYED or (key.path[-1] == "best_configuration" and not made_of_nothing):
            continue
        place = AssetPlace(settings, key.path)
        value = read_fold(place, event.partition) if event.partition else read_value(place)
        asset = next(asset for asset in assets if key in asset.keys)
        type_ = asset.op.output_def_named(asset.get_output_name_for_asset_key(key)).dagster_type
        checked = type_.type_check(cast(Any, None), value)
        assert checked.success, (key, checked.description)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Returns what the web UI shows as the reason of the one step that failed."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    assert data.user_failure_data, data.error
    return str(data.user_failure_data.description)


def started(result: dg.ExecuteInProcessResult) -> set[str]:
    """Returns the last part of the keys of the assets whose step began."""
    return {str(event.node_name).rsplit("__", 1)[-1] for event in result.all_events if event.is_step_start}


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, object]:
    """Returns the metadata that the asset of that name shows, as plain values."""
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key and e.asset_key.path[-1] == name]
    return {label: value.value for label, value in event.materialization.metadata.items()}


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    """Returns the check's one evaluation."""
    (found,) = [evaluation for evaluation in result.get_asset_check_evaluations() if evaluation.check_name == name]
    return found
