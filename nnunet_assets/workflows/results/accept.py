"""The summary of an experiment becomes the baseline that its later summaries are compared with.

On disk: `baseline.json` beside the summary (see `core.summary.baseline`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.summary.baseline import Baseline
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_files import baseline_path
from nnunet_assets.processes.user_name import user_name
from nnunet_assets.workflows.results.summarize import up_to_date_summary


@dataclass(frozen=True)
class AcceptedSummary:
    """What became of a summary that was to be accepted.

    Attributes:
        summary: The summary of the folds on the disk.
        missing_folds: What a complete one has beside them.
        file: The baseline's.
        baseline: None: nothing was accepted, since a fold is missing.
    """

    summary: ScoredSummary
    missing_folds: tuple[str, ...]
    file: Path
    baseline: Baseline | None


def accept_summary(
    roots: Roots, experiment: Experiment, folds: Sequence[str], *, incomplete: bool, note: str, progress: Progress
) -> AcceptedSummary:
    """Makes the summary the baseline, in place of the one before; where it is missing or older, it is made first.

    Args:
        roots: nnU-Net's folders.
        experiment: Whose summary.
        folds: Those of a complete cross-validation.
        incomplete: Whether it is accepted though folds are missing: only those that it has are compared later.
        note: Why, in the user's words; may be empty.
        progress: Told that the summary is made.

    Raises:
        SummaryError: As `up_to_date_summary`.
    """
    summary = up_to_date_summary(roots, experiment, folds, progress)
    file = baseline_path(roots, experiment)
    wanted = dict.fromkeys([*summary.expected_folds, *folds])
    missing = tuple(fold for fold in wanted if fold not in summary.completed_folds)
    if missing and not incomplete:
        return AcceptedSummary(summary, missing, file, None)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    baseline = Baseline.of(summary, accepted_at=now, accepted_by=user_name(), note=note)
    write_json_atomically(file, baseline.to_json())
    return AcceptedSummary(summary, missing, file, baseline)
