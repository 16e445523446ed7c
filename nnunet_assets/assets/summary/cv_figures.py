"""`cv_figures`: the summary as figures for a paper."""

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.types import FILES
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.reports.pages.page import data_uri
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.export_figures import FIGURES, export_figures
from nnunet_assets.workflows.values.asset_values import AssetPlace, read_value

DESCRIPTION = """The summary as figures for a paper, each as SVG (vector) and PNG, in colours for any colour vision.

Learning curves of all folds, Dice by label and by fold, agreement of volumes, and the worst cases with the outlines of
reference and prediction. The pseudo Dice of the curves is nnU-Net's estimate on random patches, not a result."""


def build_cv_figures(
    *, config: ExperimentConfig | EnsembleConfig, dataset: DatasetConfig, group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one experiment on a dataset, or of an ensemble of several."""
    experiment = config.identity
    key = dg.AssetKey([*experiment.key_prefix, "cv_figures"])

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([*experiment.key_prefix, name]) for name in ("cv_evaluation", "cv_summary")],
        group_name=group,
        dagster_type=FILES,
        io_manager_key=VALUES_KEY,
        kinds={"svg", "png"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="1",
    )
    def cv_figures(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            destination = destination_of(mlflow, settings).declared(config)
            exported = export_figures(settings.roots, experiment, dataset, destination)
        previews = exported.previews_png.items()
        return dg.MaterializeResult(
            value=read_value(AssetPlace(settings, key.path)),
            data_version=dg.DataVersion(exported.digest),
            metadata={
                **{
                    name: dg.MetadataValue.md(f"![{FIGURES[name]}]({data_uri(preview, 'image/png')})")
                    for name, preview in previews
                },
                "folder": dg.MetadataValue.path(exported.folder),
                **run_metadata(exported.tracked, context.log),
            },
        )

    return cv_figures
