"""`comparison`: the experiments of a dataset against each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.events.tables import shown_tables
from nnunet_assets.assets.types import COMPARISON
from nnunet_assets.core.files.layout import Experiment, dataset_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.reports.pages.page import data_uri
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.compare import FOREST_CAPTION, make_comparison

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.comparison import Comparison

EVERY_EXPERIMENT_CHECK = "compares_every_experiment"

ROWS_SHOWN = 100
"""Of each table in the web UI; the files have all rows."""

DESCRIPTION = """The experiments of the dataset against each other, on shared splits.

For each pair the difference of the pooled means with its 95 % confidence interval, its test with Bonferroni's
correction, its effect size and, where variants differ in their seed alone, the noise between seeds; for each experiment
its rank and how stable that is. Experiments without a complete summary, and those on other splits or raw data than
most, are left out and named with the reason."""


def build_comparison(
    *, config: DatasetConfig, experiments: Sequence[Experiment], project: Project, group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one dataset.

    Args:
        experiments: The dataset's, at least two.
        project: All declarations, as they were when the definitions were loaded.
    """
    key = dg.AssetKey(dataset_key(config.dataset, "comparison"))
    declared = project

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([*experiment.key_prefix, "cv_summary"]) for experiment in experiments],
        group_name=group,
        dagster_type=COMPARISON,
        io_manager_key=VALUES_KEY,
        kinds={"json", "mlflow", "table"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="3",
        check_specs=[
            dg.AssetCheckSpec(
                EVERY_EXPERIMENT_CHECK,
                asset=key,
                description="Every declared experiment is compared; the others are named with the reason.",
            )
        ],
    )
    def comparison(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            made = make_comparison(
                settings.roots,
                declared,
                config.dataset,
                settings.places,
                destination=destination_of(mlflow, settings),
                dagster_run_id=context.run.run_id,
            )
        found = made.comparison
        context.log.info(found.headline())
        return dg.MaterializeResult(
            value=found,
            data_version=dg.DataVersion(made.digest),
            metadata={
                "headline": dg.MetadataValue.text(found.headline()),
                **_shown(found),
                "file": dg.MetadataValue.path(made.file),
                "figure": dg.MetadataValue.md(f"![{FOREST_CAPTION}]({data_uri(made.preview_png, 'image/png')})"),
                **run_metadata(made.tracked, context.log),
            },
            check_results=[_every_experiment(found)],
        )

    return comparison


def _shown(comparison: "Comparison") -> dict[str, dg.MetadataValue]:
    from nnunet_assets.reports.tables import comparison_table
    from nnunet_assets.reports.tables.comparison_rows import (
        difference_numbers,
        difference_records,
        notes,
        rank_numbers,
        rank_records,
    )
    from nnunet_assets.reports.text.escaping import escape_markdown

    ranks, differences = rank_records(comparison), difference_records(comparison)
    return {
        **shown_tables("ranks", ranks[:ROWS_SHOWN], rank_numbers(comparison)[:ROWS_SHOWN]),
        **shown_tables("differences", differences[:ROWS_SHOWN], difference_numbers(comparison)[:ROWS_SHOWN]),
        "table": dg.MetadataValue.md(comparison_table.to_markdown(comparison, max_rows=ROWS_SHOWN)),
        "notes": dg.MetadataValue.md("\n".join(f"- {escape_markdown(note)}" for note in notes(comparison))),
        "experiments": dg.MetadataValue.int(len(comparison.experiments)),
    }


def _every_experiment(comparison: "Comparison") -> dg.AssetCheckResult:
    left_out = [f"{name}: {reason}" for name, reason in comparison.left_out.items()]
    return dg.AssetCheckResult(
        check_name=EVERY_EXPERIMENT_CHECK,
        passed=not left_out,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(left_out) or f"{len(comparison.experiments)} experiments are compared.",
    )
