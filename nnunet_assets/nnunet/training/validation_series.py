"""The scores of a fold's validation cases, as the series that end its journal."""

from collections.abc import Sequence
from pathlib import Path

from nnunet_assets.core.files.layout import FULL_FOLD, Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.validation.case_results import CaseResult, read_case_results
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.trainer import validation_cases


def validation_series(trainer: NnunetTrainer, experiment: Experiment, fold: str) -> dict[str, float | None]:
    """Returns Dice and IoU of whole validation cases, by the same rules as the summary of all folds.

    Nothing for a model on every case, which nnU-Net validates on the cases that it was trained on.

    Raises:
        SummaryError: nnU-Net's `validation/summary.json` cannot be read, or is not that of the validation cases.
    """
    if fold == FULL_FOLD:
        return {}
    cases = read_case_results(
        Path(trainer.output_folder),
        trainer.dataset_json["labels"],
        validation_cases(trainer),
        file_ending=trainer.dataset_json["file_ending"],
    )
    return series_of(cases, experiment, fold)


def series_of(cases: Sequence[CaseResult], experiment: Experiment, fold: str) -> dict[str, float | None]:
    """Returns Dice and IoU of a fold's cases, by label and for the foreground."""
    # One fold alone: what it was made from, and how long, is compared with nothing.
    result = ScoredFold(fold, FoldInputs("", "", "", ""), tuple(cases), 0, {})
    summary = summarize(experiment, [fold], [result])
    series = {"val_dice_mean": summary.foreground.dice.pooled.mean, "val_iou_mean": summary.foreground.iou.pooled.mean}
    for name, label in summary.labels.items():
        series |= {f"val_dice/{name}": label.dice.pooled.mean, f"val_iou/{name}": label.iou.pooled.mean}
    return series
