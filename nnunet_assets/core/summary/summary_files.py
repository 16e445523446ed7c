"""Summaries and baselines read back: `nnunet_assets/cv_summary.json` and `baseline.json` in each model's folder.

A summary names the COMMIT of each fold that it is of, so that one is told from the folds that were trained since.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nnunet_assets.core.files.json_file import load_json, load_materialized
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold, commit_sha256
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.summary.baseline import Baseline
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import SummaryError, first_offenders


def read_summary(file: Path) -> ScoredSummary:
    """Returns the summary in a file.

    Raises:
        SummaryError: There is none, it is damaged, or it was edited.
    """
    content = load_materialized(file, "cv_summary", SummaryError)
    try:
        return ScoredSummary.from_json(content)
    except SummaryError as error:
        raise SummaryError(f"{file}: {error}") from error


def read_current_summary(roots: Roots, experiment: Experiment) -> ScoredSummary:
    """Returns the summary of an experiment, where it is of the folds that are on the disk.

    A fold whose folder was taken away, and a summary of an older version, which names no commits, count as they are.

    Raises:
        SummaryError: As `read_summary`, or a fold was trained or validated again since.
    """
    summary = read_summary(experiment.summary_folder(roots) / CV_SUMMARY_FILE)
    if changed := changed_folds(roots, summary):
        raise SummaryError(
            f"The summary of {experiment.title} is not of the folds on the disk: {first_offenders(changed)} was "
            "trained or validated again since. Materialize cv_summary first."
        )
    return summary


def changed_folds(roots: Roots, summary: ScoredSummary) -> list[str]:
    """Returns the folds of a summary that were trained or validated again since, or are just now.

    Of an ensemble these are the folds of which a member was.
    """
    experiment = summary.experiment
    return [
        fold.fold
        for fold in summary.folds
        if _is_another(experiment.fold_folder(roots, fold.fold), fold, is_ensemble=experiment.is_ensemble)
    ]


def _is_another(fold_folder: Path, known: ScoredFold, *, is_ensemble: bool) -> bool:
    if known.commit_sha256 is None or not fold_folder.is_dir():
        return False
    try:
        if commit_sha256(fold_folder) != known.commit_sha256:
            return True
        return is_ensemble and FinishedFold.read(fold_folder) is None
    except FileNotFoundError:  # it trains again just now
        return True


def complete_summaries(
    roots: Roots,
    wanted: Mapping[Experiment, Sequence[str]],
    read: Callable[[Experiment, Sequence[str]], ScoredSummary] | None = None,
) -> tuple[list[ScoredSummary], dict[str, str]]:
    """Returns the complete summaries, in the order of `wanted`, and the name of each other experiment with the reason.

    Args:
        roots: nnU-Net's folders.
        wanted: Experiment to the folds that it declares.
        read: Returns the summary of an experiment; None: that which is there, where it is current.
    """
    summaries, left_out = [], {}
    for experiment, folds in wanted.items():
        if read is None and not (experiment.summary_folder(roots) / CV_SUMMARY_FILE).exists():
            left_out[experiment.name_in_dataset] = "it has no summary yet"
            continue
        try:
            summary = read(experiment, folds) if read else read_current_summary(roots, experiment)
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


def baseline_path(roots: Roots, experiment: Experiment) -> Path:
    """Returns where the baseline of an experiment lies."""
    return experiment.summary_folder(roots) / "baseline.json"


def read_baseline(path: Path) -> Baseline | None:
    """Returns the baseline in a file; None: none was accepted.

    Raises:
        SummaryError: It is damaged, or of another version.
    """
    try:
        return Baseline.from_json(load_json(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SummaryError(
            f"The baseline in {path} cannot be read ({error}). Accept a summary anew with `nnunet-assets accept`, or "
            "delete the file."
        ) from error
