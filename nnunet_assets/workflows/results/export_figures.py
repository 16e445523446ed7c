"""The summary of an experiment as figures for a paper.

On disk: `figures/NAME.svg` and `.png`, beside the summary.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.evaluation.evaluation_files import PARQUET_FILE, evaluation_folder
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.core.verification.seal_carriers import sealed
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.evaluate import declared_evaluation
from nnunet_assets.workflows.results.export_tables import summary_sealing

if TYPE_CHECKING:
    from nnunet_assets.core.evaluation.case_slice import CaseSlice
    from nnunet_assets.reports.figures.style import Pictures

FIGURES = {
    "learning_curves": "Losses and pseudo Dice (an estimate on random patches, no result) of all folds.",
    "dice_by_label": "Dice of every validation case, by label.",
    "mean_dice": "Mean Dice by label, pooled over cases.",
    "dice_by_fold": "Mean Dice by label and fold.",
    "volumes": "Predicted minus reference volume by label (Bland and Altman), with bias and limits of agreement.",
    "cases": "The worst cases and the median one: reference (solid) and prediction (dashed).",
}
"""File name to caption, in the order of pages."""

N_WORST = 5


@dataclass(frozen=True)
class ExportedFigures:
    """The figures that were written.

    Attributes:
        folder: Where they lie.
        previews_png: Name to the figure, small.
        digest: Names what they show.
        tracked: The summary's MLflow run, which has them too.
    """

    folder: Path
    previews_png: Mapping[str, bytes]
    digest: str
    tracked: TrackedRun


def export_figures(
    roots: Roots, experiment: Experiment, dataset: DatasetConfig, destination: Destination
) -> ExportedFigures:
    """Draws the summary and the declared evaluation that are there, and adds the files to the summary's MLflow run.

    Raises:
        DatasetError: As `declared_evaluation`.
        EvaluationError: Likewise.
        SummaryError: As `read_current_summary`.
    """
    folder = experiment.summary_folder(roots) / "figures"
    summary = read_current_summary(roots, experiment)
    evaluation = declared_evaluation(roots, experiment, dataset)
    files: list[Path] = []
    previews, digests = {}, {}
    sealing = summary_sealing(summary)
    for name, drawn in _drawn(roots, experiment, summary, evaluation):
        for ending, content in (("svg", drawn.svg), ("png", drawn.png)):
            files.append(folder / f"{name}.{ending}")
            write_atomically(files[-1], sealed(content, files[-1].name, sealing))
        previews[name] = drawn.preview_png
        digests[name] = json_sha256(drawn.svg.decode())
    tracked = bring_up_to_date(destination, summary_run(experiment), files, folder=folder.name)
    return ExportedFigures(folder, previews, json_sha256(digests), tracked)


def _drawn(
    roots: Roots, experiment: Experiment, summary: ScoredSummary, evaluation: Mapping[str, Any]
) -> "Iterator[tuple[str, Pictures]]":
    # Matplotlib comes with them.
    from nnunet_assets.reports.figures.bland_altman import draw_bland_altman
    from nnunet_assets.reports.figures.case_slices import draw_cases
    from nnunet_assets.reports.figures.learning_curves import draw_learning_curves
    from nnunet_assets.reports.figures.scores import draw_bars, draw_boxes, draw_fold_map
    from nnunet_assets.reports.figures.style import pictures
    from nnunet_assets.reports.tables.case_table import read_volumes

    if not experiment.is_ensemble:  # which nobody trained
        journals = {fold: journal_path(experiment.fold_folder(roots, fold)) for fold in summary.completed_folds}
        curves = draw_learning_curves({fold: read_records(path) for fold, path in journals.items()})
        yield "learning_curves", pictures(curves)
    yield "dice_by_label", pictures(draw_boxes(summary))
    yield "mean_dice", pictures(draw_bars(summary))
    yield "dice_by_fold", pictures(draw_fold_map(summary))
    table = evaluation_folder(experiment.model_folder(roots)) / PARQUET_FILE
    volumes = None if evaluation["labels"] is None else read_volumes(table)
    yield "volumes", pictures(draw_bland_altman(volumes))
    yield "cases", pictures(draw_cases(list(_slices(roots, experiment, summary))))


def _slices(roots: Roots, experiment: Experiment, summary: ScoredSummary) -> "Iterator[CaseSlice]":
    """Yields the worst cases and the median one, as far as their files can be shown."""
    from nnunet_assets.nnunet.cases.case_pictures import case_slice
    from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
    from nnunet_assets.nnunet.prepared.raw_records import curated_folder
    from nnunet_assets.nnunet.raw.case_files import find_cases

    model = experiment.model_folder(roots)
    raw = curated_folder(PreparedFolder(roots, experiment.dataset))
    if not raw.is_dir():  # taken away since: the scores stand, the pictures cannot be made
        return
    description = parse_dataset_json(raw / DATASET_JSON)
    files = {found.case: found for found in find_cases(raw, description)[0]}
    ranked = summary.ranked_cases()
    chosen = {index: f"worst {index + 1}" for index in range(min(N_WORST, len(ranked)))}
    chosen.setdefault(len(ranked) // 2, "median")
    for index, rank in chosen.items() if ranked else ():
        scored = ranked[index]
        case = files.get(scored.case_id)
        if case and case.images and case.label:
            predicted: Path = model / scored.fold / "validation" / f"{scored.case_id}{description.file_ending}"
            found = case_slice(
                case.images[0], case.label, predicted, description, f"{scored.case_id}\n{rank}: Dice {scored.dice:.3f}"
            )
            if found:
                yield found
