"""Summaries read back from their files, `nnunet_assets/cv_summary.json` in each model's folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunet_assets.core.cv_summary import CvSummary
from nnunet_assets.core.layout import Experiment, Roots
from nnunet_assets.errors import SummaryError, first_offenders

SUMMARY_FILE = "cv_summary.json"


def read_summary(file: Path) -> CvSummary:
    """Returns the summary in a file.

    Raises:
        SummaryError: There is none, it is damaged, or it was edited.
    """
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise SummaryError(f"{file} is missing. Materialize cv_summary first.") from None
    except ValueError as error:
        raise SummaryError(f"{file} is not valid JSON ({error}). Materialize cv_summary again.") from None
    return CvSummary.from_json(content)


def complete_summaries(
    roots: Roots, wanted: Mapping[Experiment, Sequence[str]]
) -> tuple[list[CvSummary], dict[str, str]]:
    """Returns the complete summaries, in the order of `wanted`, and the name of each other experiment with the reason.

    Args:
        roots: nnU-Net's folders.
        wanted: Experiment to the folds that it declares.
    """
    summaries, left_out = [], {}
    for experiment, folds in wanted.items():
        try:
            summary = read_summary(experiment.summary_folder(roots) / SUMMARY_FILE)
        except SummaryError as error:
            left_out[experiment.name_in_dataset] = str(error)
            continue
        if not summary.is_complete:
            left_out[experiment.name_in_dataset] = f"its summary is incomplete: {summary.progress}"
        elif later := [fold for fold in folds if fold not in summary.completed_folds]:
            left_out[experiment.name_in_dataset] = (
                f"its summary was made before {first_offenders(later)} was declared. Train what is missing"
            )
        else:
            summaries.append(summary)
    return summaries, left_out
