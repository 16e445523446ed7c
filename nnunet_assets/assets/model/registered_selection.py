"""`registered_model` of a dataset: what its best configuration is, in MLflow's registry."""

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.model.registered_model import DESCRIPTION, check_result, registered_metadata
from nnunet_assets.core.files.layout import dataset_key
from nnunet_assets.core.registry.gate import RULES
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.registry.register_selected import register_selected

OF_SELECTION = """What `best_configuration` chose last: a model or an ensemble, with the postprocessing that it earned
and the Dice that it may be expected to score."""


def build_registered_selection(*, config: DatasetConfig, declared: Project, group: str) -> dg.AssetsDefinition:
    """Returns the asset of a dataset that asks for its best configuration to be registered."""
    key = dg.AssetKey(dataset_key(config.dataset, "registered_model"))

    @dg.asset(
        key=key,
        deps=[dg.AssetKey(dataset_key(config.dataset, "best_configuration"))],
        group_name=group,
        kinds={"pytorch", "mlflow"},
        owners=config.owners,
        description=f"{DESCRIPTION}\n\n{OF_SELECTION}",
        code_version="1",
        check_specs=[dg.AssetCheckSpec(rule, asset=key, description=text) for rule, text in RULES.items()],
    )
    def registered_model(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            registered = register_selected(
                settings,
                declared,
                config,
                destination_of(mlflow, settings),
                progress=LogProgress(context.log),
                dagster_run_id=context.run.run_id,
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(registered.version.digest),
            metadata=registered_metadata(registered),
            check_results=[check_result(verdict) for verdict in registered.verdicts],
        )

    return registered_model
