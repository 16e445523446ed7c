"""`comparison`: the experiments of a dataset against each other.

On disk: `nnUNet_results/DATASET/nnunet_assets/`, beside the models: `comparison.json` (all of it),
`comparison_differences.csv` and the same as a figure (`.svg`, `.png`), `comparison_ranks.csv`, `comparison.md`, and the
table of experiments by labels, `comparison_table.csv`, `.parquet`, `.tex` and `.md`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Experiment, comparison_folder, dataset_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import comparison_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.compare import compare_declared

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from nnunet_assets.core.comparison.comparison import Comparison

EVERY_EXPERIMENT_CHECK = "compares_every_experiment"

FOREST_FILE = "comparison_differences"
FOREST_CAPTION = "Differences between the experiments in mean Dice, with 95 % confidence intervals."

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
    def comparison(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        roots = project.settings.roots
        folder = comparison_folder(roots, config.dataset)
        folder.mkdir(parents=True, exist_ok=True)
        with comparison_lock(folder), shown_as_failure():
            found = compare_declared(roots, declared, config.dataset)
            shown = replace(found, left_out=project.settings.places.hidden_in(found.left_out))
            preview = _write(folder, shown)
        context.log.info(found.headline())
        tracked = bring_up_to_date(
            Destination.of(project.settings),
            comparison_run(config.dataset, shown),
            sorted(folder.glob("comparison*.*")),
            dagster_run_id=context.run.run_id,
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256(found.to_json())),
            metadata={
                "headline": dg.MetadataValue.text(found.headline()),
                **_shown(folder, found),
                "figure": dg.MetadataValue.md(f"![{FOREST_CAPTION}]({preview})"),
                **run_metadata(tracked, context.log),
            },
            check_results=[_every_experiment(found)],
        )

    return comparison


def comparison_lock(folder: Path) -> "BaseFileLock":
    """Returns the lock of a comparison's folder.

    Two experiments' refreshes may end together: who writes last must have read last.
    """
    return kernel_lock(folder / ".comparison.lock")


def _write(folder: Path, comparison: "Comparison") -> str:
    """Writes every file and returns a preview of the figure, as an address that holds it."""
    # numpy takes a tenth of a second in every process that loads the definitions, and matplotlib a second.
    from nnunet_assets.core.comparison.comparison_files import COMPARISON_FILE
    from nnunet_assets.reports.figures import style
    from nnunet_assets.reports.figures.forest import draw_forest
    from nnunet_assets.reports.pages.page import data_uri
    from nnunet_assets.reports.tables import comparison_table
    from nnunet_assets.reports.tables.comparison_rows import differences_to_csv, ranks_to_csv, to_markdown

    figure = draw_forest(comparison)
    contents = {
        "comparison_differences.csv": differences_to_csv(comparison).encode(),
        "comparison_ranks.csv": ranks_to_csv(comparison).encode(),
        "comparison.md": to_markdown(comparison).encode(),
        "comparison_table.csv": comparison_table.to_csv(comparison).encode(),
        "comparison_table.md": comparison_table.to_markdown(comparison).encode(),
        "comparison_table.tex": comparison_table.to_latex(comparison).encode(),
        "comparison_table.parquet": comparison_table.to_parquet(comparison),
        f"{FOREST_FILE}.svg": style.svg(figure),
        f"{FOREST_FILE}.png": style.png(figure),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_json_atomically(folder / COMPARISON_FILE, comparison.to_json())
    return data_uri(style.png(figure, dpi=style.PREVIEW_DPI), "image/png")


def _shown(folder: Path, comparison: "Comparison") -> dict[str, dg.MetadataValue]:
    from nnunet_assets.reports.tables import comparison_table
    from nnunet_assets.reports.tables.comparison_rows import difference_records, notes, rank_records
    from nnunet_assets.reports.text.escaping import escape_markdown

    tables = {"ranks": rank_records(comparison), "differences": difference_records(comparison)}
    return {
        **{
            name: dg.MetadataValue.table([dg.TableRecord(row) for row in rows[:ROWS_SHOWN]])
            for name, rows in tables.items()
            if rows
        },
        "table": dg.MetadataValue.md(comparison_table.to_markdown(comparison, max_rows=ROWS_SHOWN)),
        "notes": dg.MetadataValue.md("\n".join(f"- {escape_markdown(note)}" for note in notes(comparison))),
        "experiments": dg.MetadataValue.int(len(comparison.experiments)),
        "file": dg.MetadataValue.path(folder / "comparison.json"),
    }


def _every_experiment(comparison: "Comparison") -> dg.AssetCheckResult:
    left_out = [f"{name}: {reason}" for name, reason in comparison.left_out.items()]
    return dg.AssetCheckResult(
        check_name=EVERY_EXPERIMENT_CHECK,
        passed=not left_out,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(left_out) or f"{len(comparison.experiments)} experiments are compared.",
    )
