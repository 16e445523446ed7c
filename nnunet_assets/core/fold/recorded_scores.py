"""What is on record of a fold's scores beside its manifest: a manifest of schema 1 vouches for bytes alone.

Where such a fold was validated again and the file is another, the same scores are proved by the summary of its
experiment, which has them case by case, or else by the end of its journal, which has every label's means to the last
digit.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import UNREADABLE, UNUSABLE, load_json
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, SUMMARY_FOLDER
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.statistics.estimate import mean_of_defined
from nnunet_assets.core.validation.case_results import CaseResult, case_results
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE


def are_recorded(fold_folder: Path, content: bytes, case_ids: Sequence[str], commit: str) -> bool:
    """Says whether a summary.json holds the scores that were recorded of a fold when it was committed.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        content: The summary.json.
        case_ids: The validation cases, from the manifest.
        commit: What names the fold, see `commit.commit_sha256`.
    """
    try:
        description = load_json(fold_folder.parent / "dataset.json")
        path, ending = fold_folder / SUMMARY_FILE, description["file_ending"]
        cases = case_results(content, path, description["labels"], case_ids, ending)
    except UNUSABLE:
        return False
    recorded = _in_summary(fold_folder.parent / SUMMARY_FOLDER / CV_SUMMARY_FILE, commit)
    if recorded is not None:
        return recorded == {case.case_id: _plain(case) for case in cases}
    means = _at_the_end(fold_folder)
    return bool(means) and all(mean == means.get(series) for series, mean in _means(cases).items())


def _in_summary(file: Path, commit: str) -> Mapping[str, Any] | None:
    """Returns the cases of the fold in the experiment's summary; None: it has no such fold."""
    try:
        folds = load_json(file)["folds"]
        found = [fold["cases"] for fold in folds if fold.get("commit_sha256") == commit]
    except UNREADABLE:
        return None
    return found[0] if found else None


def _plain(case: CaseResult) -> dict[str, Any]:
    return {name: {"dice": score.dice, "iou": score.iou} for name, score in case.scores.items()}


def _at_the_end(fold_folder: Path) -> Mapping[str, Any]:
    ends = [record.values for record in read_records(journal_path(fold_folder)) if record.kind == "end"]
    return ends[-1] if ends else {}


def _means(cases: Sequence[CaseResult]) -> dict[str, float | None]:
    """Returns the series of the labels, as the end of a journal has them."""
    means: dict[str, float | None] = {}
    for name in cases[0].scores:
        means[f"val_dice/{name}"] = mean_of_defined([case.scores[name].dice for case in cases])
        means[f"val_iou/{name}"] = mean_of_defined([case.scores[name].iou for case in cases])
    return means
