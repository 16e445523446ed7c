"""`dataset_report`: all experiments of a dataset on one HTML page."""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.summary.cv_report import page_result
from nnunet_assets.assets.types import PAGE
from nnunet_assets.core.files.layout import Experiment, dataset_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.export_pages import export_dataset_report

DESCRIPTION = """All experiments of the dataset on one HTML page: scores, the choice, comparison, figure, provenance.

One file that needs nothing beside it and no network, light and dark, fit to print. It names no case."""


def build_dataset_report(
    *, config: DatasetConfig, experiments: Sequence[Experiment], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one dataset; `experiments` are those that `comparison` has."""

    @dg.asset(
        key=dg.AssetKey(dataset_key(config.dataset, "dataset_report")),
        deps=[dg.AssetKey(dataset_key(config.dataset, name)) for name in ("comparison", "best_configuration")],
        group_name=group,
        dagster_type=PAGE,
        io_manager_key=VALUES_KEY,
        kinds={"html"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="2",
    )
    def dataset_report(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            exported = export_dataset_report(
                settings.roots, config.dataset, experiments, settings.places, destination_of(mlflow, settings)
            )
        return page_result(exported, context.log)

    return dataset_report
