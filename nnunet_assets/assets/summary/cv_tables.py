"""`cv_tables`: the summary as tables for a paper."""

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.events.tables import file_columns
from nnunet_assets.assets.types import FILES
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.export_tables import export_tables

DESCRIPTION = """The summary as tables for a paper: CSV, Parquet, LaTeX (booktabs) and Markdown.

Each says which estimand it shows, how many cases or folds it is taken over, and which folds are missing."""


def build_cv_tables(*, config: ExperimentConfig | EnsembleConfig, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one experiment, or of an ensemble of several."""
    experiment = config.identity

    @dg.asset(
        key=dg.AssetKey([*experiment.key_prefix, "cv_tables"]),
        deps=[dg.AssetKey([*experiment.key_prefix, "cv_summary"])],
        group_name=group,
        dagster_type=FILES,
        io_manager_key=VALUES_KEY,
        kinds={"csv", "parquet", "table"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="3",
    )
    def cv_tables(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            exported = export_tables(settings.roots, experiment, destination_of(mlflow, settings).declared(config))
        return dg.MaterializeResult(
            value=dict(exported.files),
            data_version=dg.DataVersion(exported.digest),
            metadata={
                "table": dg.MetadataValue.md(exported.markdown),
                **{f"file_{ending}": dg.MetadataValue.path(file) for ending, file in exported.files.items()},
                **file_columns(exported.columns, exported.n_rows),
                **run_metadata(exported.tracked, context.log),
            },
        )

    return cv_tables
