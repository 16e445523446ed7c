"""`cv_report`: everything about one cross-validation on one HTML page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.summary.cv_evaluation import declared_evaluation
from nnunet_assets.assets.summary.cv_figures import FIGURES
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.fold.commit import commit_sha256, read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.reports.pages.cv_page import PageFigure, cv_page
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination

if TYPE_CHECKING:
    from nnunet_assets.core.evaluation.gap import Gap
    from nnunet_assets.core.statistics.estimate import Bootstrap

DESCRIPTION = """The whole cross-validation on one HTML page: scores, figures, cases, methods, provenance.

One file that needs nothing beside it and no network, light and dark, fit to print. It shows slices of cases: mind who
may see them."""


def build_cv_report(*, config: ExperimentConfig, dataset: DatasetConfig, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one experiment on a dataset."""
    experiment = config.identity

    @dg.asset(
        key=dg.AssetKey([*experiment.key_prefix, "cv_report"]),
        deps=[dg.AssetKey([*experiment.key_prefix, name]) for name in ("cv_evaluation", "cv_figures", "cv_summary")],
        group_name=group,
        kinds={"html"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="3",
        # In a run that predicts the test set too it comes after that, whatever becomes of it, and shows the gap.
        op_tags={"dagster/priority": "-3"} if config.test_set else None,
    )
    def cv_report(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        roots = project.settings.roots
        folder = experiment.summary_folder(roots)
        with shown_as_failure():
            summary = read_current_summary(roots, experiment)
            manifests, parameters = {}, {}
            for fold in summary.completed_folds:
                fold_folder = experiment.fold_folder(roots, fold)
                if manifest := read_committed(fold_folder):
                    manifests[fold] = manifest
                started = next((r for r in read_records(journal_path(fold_folder)) if r.kind == "start"), None)
                parameters[fold] = started.values["params"] if started else {}
            files = {name: folder / "figures" / f"{name}.svg" for name in FIGURES}
            figures = [
                PageFigure(FIGURES[name], file.read_bytes(), "image/svg+xml")
                for name, file in files.items()
                if file.exists()
            ]
            evaluation = declared_evaluation(roots, experiment, dataset)
            commits = {fold: commit_sha256(experiment.fold_folder(roots, fold)) for fold in summary.completed_folds}
            gaps, drawn = _gaps(folder, commits)
            page = cv_page(
                summary,
                manifests,
                parameters,
                figures,
                evaluation,
                gaps=gaps,
                drawn_for_gaps=drawn,
                places=project.settings.places,
            )
        write_atomically(folder / "cv_report.html", page.encode())
        tracked = bring_up_to_date(
            Destination.of(project.settings), summary_run(experiment), [folder / "cv_report.html"]
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256(page)),
            metadata={
                "page": dg.MetadataValue.path(folder / "cv_report.html"),
                "headline": dg.MetadataValue.text(summary.headline()),
                **run_metadata(tracked, context.log),
            },
        )

    return cv_report


def _gaps(folder: Path, commits: Mapping[str, str]) -> "tuple[list[Gap], Bootstrap | None]":
    """Returns the gaps to the test set and how their intervals were made.

    There are none where there is no test set, or other folds have predicted it.
    """
    from nnunet_assets.core.evaluation.gap import GAP_FILE, TESTED_FOLDER, drawn_for_gaps, gaps_from_json

    path = folder / TESTED_FOLDER / GAP_FILE
    if not path.exists():
        return [], None
    content = json.loads(path.read_text())
    gaps = gaps_from_json(content, commits)
    return (gaps, drawn_for_gaps(content)) if gaps else ([], None)
