"""`cv_report`: everything about one cross-validation on one HTML page."""

import logging

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import report_metadata, run_metadata
from nnunet_assets.assets.types import PAGE
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.export_pages import ExportedPage, export_cv_report

DESCRIPTION = """The whole cross-validation on one HTML page: scores, figures, cases, methods, provenance.

One file that needs nothing beside it and no network, light and dark, fit to print. It shows slices of cases: mind who
may see them."""


def build_cv_report(
    *, config: ExperimentConfig | EnsembleConfig, dataset: DatasetConfig, group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one experiment on a dataset, or of an ensemble of several."""
    experiment = config.identity

    @dg.asset(
        key=dg.AssetKey([*experiment.key_prefix, "cv_report"]),
        deps=[dg.AssetKey([*experiment.key_prefix, name]) for name in ("cv_evaluation", "cv_figures", "cv_summary")],
        group_name=group,
        dagster_type=PAGE,
        io_manager_key=VALUES_KEY,
        kinds={"html"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="3",
        # In a run that predicts the test set too it comes after that, whatever becomes of it, and shows the gap.
        op_tags={"dagster/priority": "-3"} if isinstance(config, ExperimentConfig) and config.test_set else None,
    )
    def cv_report(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            exported = export_cv_report(
                settings.roots, experiment, dataset, settings.places, destination_of(mlflow, settings).declared(config)
            )
        return page_result(exported, context.log)

    return cv_report


def page_result(exported: ExportedPage, log: logging.Logger) -> dg.MaterializeResult:
    """Returns what Dagster records of a page that was written."""
    return dg.MaterializeResult(
        value=exported.file,
        data_version=dg.DataVersion(exported.digest),
        metadata={
            **report_metadata(exported.file, exported.tracked),
            "headline": dg.MetadataValue.text(exported.headline),
            **run_metadata(exported.tracked, log),
        },
    )
