"""`cv_tables`: the summary as tables for a paper."""

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.reports.tables.summary_tables import to_csv, to_latex, to_markdown, to_parquet
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination

DESCRIPTION = """The summary as tables for a paper: CSV, Parquet, LaTeX (booktabs) and Markdown.

Each says which estimand it shows, how many cases or folds it is taken over, and which folds are missing."""


def build_cv_tables(*, config: ExperimentConfig, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one experiment."""
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
    def cv_tables(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        folder = experiment.summary_folder(project.settings.roots)
        with shown_as_failure():
            summary = read_current_summary(project.settings.roots, experiment)
            tables = {"csv": to_csv(summary), "tex": to_latex(summary), "md": to_markdown(summary)}
        contents = {**{ending: text.encode() for ending, text in tables.items()}, "parquet": to_parquet(summary)}
        files = {ending: folder / f"cv_table.{ending}" for ending in contents}
        for ending, content in contents.items():
            write_atomically(files[ending], content)
        tracked = bring_up_to_date(Destination.of(project.settings), summary_run(experiment), list(files.values()))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256(tables)),
            metadata={
                "table": dg.MetadataValue.md(tables["md"]),
                **{f"file_{ending}": dg.MetadataValue.path(file) for ending, file in files.items()},
                **run_metadata(tracked, context.log),
            },
        )

    return cv_tables
