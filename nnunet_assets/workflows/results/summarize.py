"""The summary of an experiment, made from its finished folds.

On disk, in `nnunet_assets/` of the model's folder: `cv_summary.json`, and its cases as `cv_cases.csv` and `.parquet`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from nnunet_assets.core.files.atomic_files import remove_unfinished, write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.core.summary.summary_files import changed_folds, read_summary
from nnunet_assets.core.verification.earlier_result_files import write_keeping_earlier
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.errors import LockingError, SummaryError, first_offenders
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets.reports.tables.case_scores import cases_to_csv, cases_to_parquet
from nnunet_assets.reports.tables.sealed_files import sealed_file
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination


@dataclass(frozen=True)
class MadeSummary:
    """A summary that was made now.

    Attributes:
        summary: What it says, with intervals.
        digest: Names its content.
        folder: Where its files lie.
        tracked: Its MLflow run; nothing where nobody asked for one.
    """

    summary: ScoredSummary
    digest: str
    folder: Path
    tracked: TrackedRun = field(default_factory=TrackedRun)

    @property
    def file(self) -> Path:
        """All of it."""
        return self.folder / CV_SUMMARY_FILE

    @property
    def files(self) -> list[Path]:
        """What people and programs elsewhere read."""
        return [self.file, self.folder / "cv_cases.csv"]


def make_summary(
    roots: Roots,
    experiment: Experiment,
    folds: Sequence[str],
    *,
    destination: Destination | None = None,
    dagster_run_id: str | None = None,
) -> MadeSummary:
    """Summarizes the finished folds, writes the files and returns what they say.

    Args:
        roots: nnU-Net's folders.
        experiment: Whose folds.
        folds: Those of a complete cross-validation.
        destination: Where the summary's run is brought up to date; None: nowhere.
        dagster_run_id: The Dagster run that makes it; None where none does.

    Raises:
        SummaryError: No fold is finished, one cannot be read, or they must not be averaged.
    """
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.summary.intervals import with_recorded_patients

    folder = experiment.summary_folder(roots)
    with _sole_summary(folder):
        summary = summarize(experiment, folds, collect_fold_results(roots, experiment, folds))
        summary = with_recorded_patients(roots, summary)
        content = summary.to_json()
        tables = {"cv_cases.csv": cases_to_csv(summary).encode(), "cv_cases.parquet": cases_to_parquet(summary)}
        sealing = Sealing.of_content("/".join(experiment.key_prefix), content)
        for name, table in tables.items():
            write_atomically(folder / name, sealed_file(table, name, sealing))
        # Last: a summary whose cases are those of an earlier one would be taken for whole.
        write_keeping_earlier(folder / CV_SUMMARY_FILE, content)
    made = MadeSummary(summary, json_sha256(content), folder)
    if destination is None:
        return made
    run = summary_run(experiment, summary)
    return replace(made, tracked=bring_up_to_date(destination, run, made.files, dagster_run_id=dagster_run_id))


def up_to_date_summary(roots: Roots, experiment: Experiment, folds: Sequence[str], progress: Progress) -> ScoredSummary:
    """Returns the summary of the folds on the disk: the one that is there, else one that is made now.

    Made is what is missing, what is older than one of the folds, and what waits for a fold that is not declared any
    more; a damaged or edited summary is not.

    Args:
        roots: nnU-Net's folders.
        experiment: Whose summary.
        folds: Those of a complete cross-validation.
        progress: Told that one is made.

    Raises:
        SummaryError: As `read_summary` and `make_summary`; or the disk refuses what has to be read or written.
    """
    try:
        known, problem = _known_summary(roots, experiment, folds)
        if known and not problem:
            return known
        made = make_summary(roots, experiment, folds)
    except (OSError, LockingError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror + (f": {error.filename}" if error.filename else "")
        raise SummaryError(f"The summary of {experiment.title} cannot be brought up to date: {reason}") from error
    progress.say(f"The summary of {experiment.title} {problem}, and is made now: {made.summary.headline()}.")
    return made.summary


def _known_summary(roots: Roots, experiment: Experiment, folds: Sequence[str]) -> tuple[ScoredSummary | None, str]:
    """Returns the summary that is there, if there is one, and what is wrong with it; empty: nothing."""
    file = experiment.summary_folder(roots) / CV_SUMMARY_FILE
    if not file.exists():
        return None, "is missing"
    summary = read_summary(file)
    added = [fold for fold in folds if fold not in summary.completed_folds]
    added = [fold for fold in added if FinishedFold.read(experiment.fold_folder(roots, fold))]
    if newer := [*changed_folds(roots, summary), *added]:
        return summary, f"is older than {first_offenders(newer)}"
    undeclared = [fold for fold in summary.missing_folds if fold not in folds]
    return summary, f"waits for {first_offenders(undeclared)}, which is not declared any more" if undeclared else ""


@contextmanager
def _sole_summary(folder: Path) -> Iterator[None]:
    """Keeps a second summary of the experiment waiting: who writes last must have read last."""
    if not folder.parent.is_dir():  # no fold was ever trained, which the summary says
        yield
        return
    folder.mkdir(exist_ok=True)
    with kernel_lock(folder / ".cv_summary.lock"):
        remove_unfinished(folder)
        yield
