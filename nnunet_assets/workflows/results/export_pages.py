"""What is known of an experiment, or of all experiments of a dataset, on one HTML page.

On disk: `cv_report.html` beside the summary, and `dataset_report.html` beside the comparison.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import ENSEMBLES, Experiment, Roots, comparison_folder
from nnunet_assets.core.fold.commit import commit_sha256, read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.core.text.places import Places
from nnunet_assets.core.verification.seal_carriers import sealed
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import SummaryError
from nnunet_assets.tracking.assets.asset_run import AssetRun, TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import comparison_run, summary_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.compare import FOREST_CAPTION, FOREST_FILE, comparison_lock
from nnunet_assets.workflows.results.evaluate import declared_evaluation
from nnunet_assets.workflows.results.export_figures import FIGURES
from nnunet_assets.workflows.results.export_tables import summary_sealing

if TYPE_CHECKING:
    from nnunet_assets.core.evaluation.gap import Gap
    from nnunet_assets.core.selection.best_configuration import BestConfiguration
    from nnunet_assets.core.statistics.estimate import Bootstrap
    from nnunet_assets.reports.pages.dataset_page import Entry

EXPERIMENT_PAGE = "cv_report.html"
DATASET_PAGE = "dataset_report.html"


@dataclass(frozen=True)
class ExportedPage:
    """A page that was written.

    Attributes:
        file: The page, which needs nothing beside it.
        headline: The result in one line.
        digest: Names its content.
        tracked: The MLflow run of what it shows, which has it too.
    """

    file: Path
    headline: str
    digest: str
    tracked: TrackedRun


def export_cv_report(
    roots: Roots, experiment: Experiment, dataset: DatasetConfig, places: Places, destination: Destination
) -> ExportedPage:
    """Writes the page of an experiment from its summary, its declared evaluation and the figures that are there.

    Raises:
        DatasetError: As `declared_evaluation`.
        EvaluationError: Likewise.
        SummaryError: As `read_current_summary`.
    """
    from nnunet_assets.reports.pages.cv_page import PageFigure, cv_page

    folder = experiment.summary_folder(roots)
    summary = read_current_summary(roots, experiment)
    manifests, parameters, commits = {}, {}, {}
    for fold in summary.completed_folds:
        fold_folder = experiment.fold_folder(roots, fold)
        if manifest := read_committed(fold_folder):
            manifests[fold] = manifest
        started = next((record for record in read_records(journal_path(fold_folder)) if record.kind == "start"), None)
        parameters[fold] = started.values["params"] if started else {}
        commits[fold] = commit_sha256(fold_folder)
    files = {caption: folder / "figures" / f"{name}.svg" for name, caption in FIGURES.items()}
    gaps, drawn = _gaps(folder, commits)
    page = cv_page(
        summary,
        manifests,
        parameters,
        [PageFigure(caption, file.read_bytes(), "image/svg+xml") for caption, file in files.items() if file.exists()],
        declared_evaluation(roots, experiment, dataset),
        gaps=gaps,
        drawn_for_gaps=drawn,
        places=places,
    )
    write_atomically(folder / EXPERIMENT_PAGE, sealed(page.encode(), EXPERIMENT_PAGE, summary_sealing(summary)))
    return _exported(folder / EXPERIMENT_PAGE, page, summary.headline(), destination, summary_run(experiment))


def export_dataset_report(
    roots: Roots, dataset: str, experiments: Sequence[Experiment], places: Places, destination: Destination
) -> ExportedPage:
    """Writes the page of a dataset from its comparison, the choice of a configuration and the summaries that are there.

    Raises:
        SummaryError: As `read_comparison`.
    """
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.comparison.comparison_files import COMPARISON_FILE, read_comparison
    from nnunet_assets.reports.pages.cv_page import PageFigure
    from nnunet_assets.reports.pages.dataset_page import dataset_page

    folder = comparison_folder(roots, dataset)
    with comparison_lock(folder):
        comparison = read_comparison(folder / COMPARISON_FILE)
        best = _best_configuration(folder)
        entries = [_entry(roots, folder, experiment) for experiment in experiments]
        found = [one for one in _ensembles_of(best) if one not in experiments]
        entries += [replace(_entry(roots, folder, one), is_found=True) for one in found]
        forest = folder / f"{FOREST_FILE}.svg"
        figures = [PageFigure(FOREST_CAPTION, forest.read_bytes(), "image/svg+xml")] if forest.is_file() else []
        page = dataset_page(comparison, entries, figures, places, best)
        sealing = Sealing.of_content(dataset, load_json(folder / COMPARISON_FILE))
        write_atomically(folder / DATASET_PAGE, sealed(page.encode(), DATASET_PAGE, sealing))
    return _exported(folder / DATASET_PAGE, page, comparison.headline(), destination, comparison_run(dataset))


def _best_configuration(folder: Path) -> "BestConfiguration | None":
    """Returns the choice that is there; None: nothing was chosen, or an older version chose it."""
    from nnunet_assets.core.selection.best_configuration_files import BEST_CONFIGURATION_FILE, read_best_configuration

    try:
        return read_best_configuration(folder / BEST_CONFIGURATION_FILE)
    except SummaryError:
        return None


def _ensembles_of(best: "BestConfiguration | None") -> list[Experiment]:
    """Returns the ensembles that a choice was made from, whoever declared or found them."""
    names = (name.partition("/") for name in best.made_of) if best else ()
    return [Experiment.ensemble(best.dataset, name) for kind, _, name in names if best and kind == ENSEMBLES]


def _exported(file: Path, page: str, headline: str, destination: Destination, run: AssetRun) -> ExportedPage:
    return ExportedPage(file, headline, json_sha256(page), bring_up_to_date(destination, run, [file]))


def _gaps(folder: Path, commits: Mapping[str, str]) -> "tuple[list[Gap], Bootstrap | None]":
    """Returns the gaps to the test set and how their intervals were made.

    There are none where there is no test set, or other folds have predicted it.
    """
    from nnunet_assets.core.evaluation.gap import GAP_FILE, TESTED_FOLDER, drawn_for_gaps, gaps_from_json

    path = folder / TESTED_FOLDER / GAP_FILE
    if not path.exists():
        return [], None
    content = load_json(path)
    gaps = gaps_from_json(content, commits)
    return (gaps, drawn_for_gaps(content)) if gaps else ([], None)


def _entry(roots: Roots, folder: Path, experiment: Experiment) -> "Entry":
    from nnunet_assets.reports.pages.dataset_page import Entry

    page = experiment.summary_folder(roots) / EXPERIMENT_PAGE
    link = quote(os.path.relpath(page, folder)) if page.is_file() else None
    try:
        summary = read_current_summary(roots, experiment)
    except SummaryError as error:
        return Entry(experiment.name_in_dataset, None, str(error), link)
    return Entry(experiment.name_in_dataset, summary, "", link)
