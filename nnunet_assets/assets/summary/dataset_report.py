"""`dataset_report`: all experiments of a dataset on one HTML page.

On disk: `dataset_report.html`, beside the comparison.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.summary.comparison import FOREST_CAPTION, FOREST_FILE, comparison_lock
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment, Roots, comparison_folder, dataset_key
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import SummaryError
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import comparison_run
from nnunet_assets.tracking.store.destination import Destination

if TYPE_CHECKING:
    from nnunet_assets.reports.pages.dataset_page import Entry

DESCRIPTION = """All experiments of the dataset on one HTML page: scores, comparison, figure, provenance.

One file that needs nothing beside it and no network, light and dark, fit to print. It names no case."""


def build_dataset_report(
    *, config: DatasetConfig, experiments: Sequence[Experiment], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one dataset; `experiments` are those that `comparison` has."""

    @dg.asset(
        key=dg.AssetKey(dataset_key(config.dataset, "dataset_report")),
        deps=[dg.AssetKey(dataset_key(config.dataset, "comparison"))],
        group_name=group,
        kinds={"html"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="1",
    )
    def dataset_report(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        # numpy, which whoever loads the definitions has no use for.
        from nnunet_assets.core.comparison.comparison_files import COMPARISON_FILE, read_comparison
        from nnunet_assets.reports.pages.cv_page import PageFigure
        from nnunet_assets.reports.pages.dataset_page import dataset_page

        settings = project.settings
        folder = comparison_folder(settings.roots, config.dataset)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "dataset_report.html"
        with comparison_lock(folder), shown_as_failure():
            comparison = read_comparison(folder / COMPARISON_FILE)
            entries = [_entry(settings.roots, folder, experiment) for experiment in experiments]
            forest = folder / f"{FOREST_FILE}.svg"
            figures = [PageFigure(FOREST_CAPTION, forest.read_bytes(), "image/svg+xml")] if forest.is_file() else []
            page = dataset_page(comparison, entries, figures, settings.places)
            write_atomically(file, page.encode())
        tracked = bring_up_to_date(Destination.of(settings), comparison_run(config.dataset), [file])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256(page)),
            metadata={
                "page": dg.MetadataValue.path(file),
                "headline": dg.MetadataValue.text(comparison.headline()),
                **run_metadata(tracked, context.log),
            },
        )

    return dataset_report


def _entry(roots: Roots, folder: Path, experiment: Experiment) -> "Entry":
    from nnunet_assets.reports.pages.dataset_page import Entry

    page = experiment.summary_folder(roots) / "cv_report.html"
    link = quote(os.path.relpath(page, folder)) if page.is_file() else None
    try:
        summary = read_current_summary(roots, experiment)
    except SummaryError as error:
        return Entry(experiment.name_in_dataset, None, str(error), link)
    return Entry(experiment.name_in_dataset, summary, "", link)
