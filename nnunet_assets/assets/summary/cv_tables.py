"""`cv_tables`: the summary as tables for a paper."""

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
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
            exported = export_tables(settings.roots, experiment, destination_of(mlflow, settings))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(exported.digest),
            metadata={
                "table": dg.MetadataValue.md(exported.markdown),
                **{f"file_{ending}": dg.MetadataValue.path(file) for ending, file in exported.files.items()},
                **run_metadata(exported.tracked, context.log),
            },
        )

    return cv_tables
