"""`cv_figures`: the summary as figures for a paper."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.summary.cv_evaluation import declared_evaluation
from nnunet_assets.core.evaluation.evaluation_files import PARQUET_FILE, evaluation_folder
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nnunet_assets.core.evaluation.case_slice import CaseSlice

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

DESCRIPTION = """The summary as figures for a paper, each as SVG (vector) and PNG, in colours for any colour vision.

Learning curves of all folds, Dice by label and by fold, agreement of volumes, and the worst cases with the outlines of
reference and prediction. The pseudo Dice of the curves is nnU-Net's estimate on random patches, not a result."""


def build_cv_figures(*, config: ExperimentConfig, dataset: DatasetConfig, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one experiment on a dataset."""
    experiment = config.identity

    @dg.asset(
        key=dg.AssetKey([*experiment.key_prefix, "cv_figures"]),
        deps=[dg.AssetKey([*experiment.key_prefix, name]) for name in ("cv_evaluation", "cv_summary")],
        group_name=group,
        kinds={"svg", "png"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="1",
    )
    def cv_figures(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        # Matplotlib comes with them.
        from nnunet_assets.reports.figures import style
        from nnunet_assets.reports.pages.page import data_uri

        roots = project.settings.roots
        folder = experiment.summary_folder(roots)
        metadata: dict[str, dg.MetadataValue] = {}
        digests = {}
        with shown_as_failure():
            summary = read_current_summary(roots, experiment)
            evaluation = declared_evaluation(roots, experiment, dataset)
            for name, figure in _drawn(roots, experiment, summary, evaluation):
                vector = style.svg(figure)
                write_atomically(folder / "figures" / f"{name}.svg", vector)
                write_atomically(folder / "figures" / f"{name}.png", style.png(figure))
                preview = data_uri(style.png(figure, dpi=style.PREVIEW_DPI), "image/png")
                metadata[name] = dg.MetadataValue.md(f"![{FIGURES[name]}]({preview})")
                digests[name] = json_sha256(vector.decode())
        metadata["folder"] = dg.MetadataValue.path(folder / "figures")
        files = [folder / "figures" / f"{name}.{ending}" for name in digests for ending in ("svg", "png")]
        tracked = bring_up_to_date(Destination.of(project.settings), summary_run(experiment), files, folder="figures")
        metadata |= run_metadata(tracked, context.log)
        return dg.MaterializeResult(data_version=dg.DataVersion(json_sha256(digests)), metadata=metadata)

    return cv_figures


def _drawn(
    roots: Roots, experiment: Experiment, summary: CvSummary, evaluation: Mapping[str, Any]
) -> "Iterator[tuple[str, Figure]]":
    from nnunet_assets.reports.figures.bland_altman import draw_bland_altman
    from nnunet_assets.reports.figures.case_slices import draw_cases
    from nnunet_assets.reports.figures.learning_curves import draw_learning_curves
    from nnunet_assets.reports.figures.scores import draw_bars, draw_boxes, draw_fold_map
    from nnunet_assets.reports.tables.case_table import read_volumes

    journals = {fold: journal_path(experiment.fold_folder(roots, fold)) for fold in summary.completed_folds}
    yield "learning_curves", draw_learning_curves({fold: read_records(path) for fold, path in journals.items()})
    yield "dice_by_label", draw_boxes(summary)
    yield "mean_dice", draw_bars(summary)
    yield "dice_by_fold", draw_fold_map(summary)
    table = evaluation_folder(experiment.model_folder(roots)) / PARQUET_FILE
    yield "volumes", draw_bland_altman(None if evaluation["labels"] is None else read_volumes(table))
    yield "cases", draw_cases(list(_slices(roots, experiment, summary)))


def _slices(roots: Roots, experiment: Experiment, summary: CvSummary) -> "Iterator[CaseSlice]":
    """Yields the worst cases and the median one, as far as their files can be shown."""
    from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
    from nnunet_assets.nnunet.preparation.prepared import PreparedDataset
    from nnunet_assets.nnunet.raw.case_files import find_cases
    from nnunet_assets.nnunet.raw.case_pictures import case_slice

    model = experiment.model_folder(roots)
    raw = PreparedDataset(roots, experiment.dataset).raw_folder
    if not raw.is_dir():  # taken away since: the scores stand, the pictures cannot be made
        return
    description = parse_dataset_json(raw / "dataset.json")
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
