"""What waits of the folds' curves, results and files is sent to MLflow, after a server was down or a run was killed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_assets.core.files.layout import SUMMARY_FOLDER, Roots
from nnunet_assets.core.fold.commit import scores_on_disk
from nnunet_assets.core.fold.journal import journal_path, settled_records
from nnunet_assets.core.summary.cv_groups import group_name
from nnunet_assets.errors import TrackingError
from nnunet_assets.nnunet.results.adopted_places import adopted_places
from nnunet_assets.nnunet.results.results_folder import experiment_of
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_run import FoldRun
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport, known_report, send_waiting
from nnunet_assets.tracking.own_runs.spool import end_killed, own_destination, own_run_folders, remove_sent
from nnunet_assets.tracking.store.client import probe
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import EXPERIMENT

SUPERSEDED = "superseded"
"""Folder of the folds that were put aside for a new training: no summary is of them."""


@dataclass(frozen=True)
class SyncReport:
    """What MLflow has now.

    Attributes:
        folds: Fold folder to what MLflow has of it.
        problem: What is wrong with MLflow; None: it answered, or nobody had to ask it.
    """

    folds: Mapping[Path, TrackingReport]
    problem: str | None = None

    @property
    def n_waiting(self) -> int:
        """How many folds still wait."""
        return sum(not report.is_done for report in self.folds.values())

    def problem_of(self, fold: Path) -> str | None:
        """Returns why a fold waits, or what MLflow refused of it."""
        report = self.folds[fold]
        return self.problem if self.problem and not report.is_done else report.problem


LEAST_SECONDS = 10.0
"""What a folder may take, however many there are, as long as there is any time left."""


def sync(
    settings: Settings, destination: Destination, folds: Sequence[Path] = (), timeout_seconds: float = 300.0
) -> SyncReport:
    """Sends what MLflow does not have of the folds in these folders.

    Where none is named: of every fold of the project, and of the runs that scripts left on its spool.

    Raises:
        TrackingError: A folder holds no fold that was tracked.
    """
    if folds:
        return _send(destination, settings, [_checked(fold) for fold in folds], timeout_seconds)
    until = time.monotonic() + timeout_seconds
    report = _send(destination, settings, list(tracked_folders(settings)), timeout_seconds)
    return replace(report, folds={**report.folds, **_own_runs(destination, settings, until)})


def _own_runs(destination: Destination, settings: Settings, until: float) -> dict[Path, TrackingReport]:
    """Sends what scripts of the project's left on their spool; what MLflow then has whole is removed.

    A server that does not answer is asked once, and keeps nobody waiting who goes to another one.
    """
    reports: dict[Path, TrackingReport] = {}
    problems: dict[str, str | None] = {}
    folders = list(own_run_folders(settings.data))
    for n_done, folder in enumerate(folders):
        end_killed(folder)
        there = own_destination(folder, destination)
        reports[folder] = known_report(there, folder)
        if not reports[folder].is_done:
            if there.tracking_uri not in problems:
                problems[there.tracking_uri] = _problem_of(there)
            if problem := problems[there.tracking_uri]:
                reports[folder] = replace(reports[folder], problem=problem)
                continue
            share = _share(until, len(folders) - n_done)
            reports[folder] = send_waiting(there, folder, timeout_seconds=share)
        ended = (known := FoldRun.load(folder)) is not None and known.ending is not None
        if reports[folder].is_done and ended:
            remove_sent(folder, there)
    return reports


def _problem_of(destination: Destination) -> str | None:
    try:
        probe(destination)
    except TrackingError as error:
        return str(error)
    return None


def tracked_folders(settings: Settings) -> Iterator[Path]:
    """Yields the folders of all folds that were ever tracked, the superseded ones and those adopted elsewhere too."""
    results = settings.roots.results
    for root in [results, *sorted((results / "variants").glob("*"))]:
        for model in sorted(root.glob("Dataset*/*__*__*")):
            folds = [*model.glob("fold_*"), *(model / SUMMARY_FOLDER / SUPERSEDED).glob("fold_*")]
            yield from (fold for fold in sorted(folds) if FoldRun.load(fold) is not None)
    for fold in adopted_places(settings.data):
        if FoldRun.load(fold) is not None and not fold.resolve().is_relative_to(results.resolve()):
            yield fold


def _checked(fold: Path) -> Path:
    if not journal_path(fold).is_file():
        raise TrackingError(
            f"{fold} is not the folder of a fold: it has no journal. Name a folder such as "
            f"nnUNet_results/DATASET/TRAINER__PLANS__CONFIGURATION/fold_0."
        )
    if FoldRun.load(fold) is None:
        raise TrackingError(f"{fold} was never tracked, so that it has nothing to send: train it with tracking on.")
    return fold.absolute()


def _send(destination: Destination, settings: Settings, folders: Sequence[Path], timeout_seconds: float) -> SyncReport:
    until = time.monotonic() + timeout_seconds
    for folder in folders:
        _prepare_again(destination, settings.roots, folder)
    reports = {folder: known_report(destination, folder) for folder in folders}
    waiting = [folder for folder, report in reports.items() if not report.is_done]
    # Those that have sent everything too: a copy of a fold may have taken its run over since.
    others = [folder for folder in folders if folder not in waiting and folder.parent.name != SUPERSEDED]
    if not waiting and not others:
        return SyncReport(reports)
    # Else a server that is down would be waited for at every fold.
    if problem := _problem_of(destination):
        return SyncReport(reports, problem if waiting else None)
    for n_done, folder in enumerate([*waiting, *others]):
        share = _share(until, len(folders) - n_done)
        if share <= 0 and folder in others:
            break
        reports[folder] = send_waiting(destination, folder, timeout_seconds=share)
    return SyncReport(reports)


def _share(until: float, n_folders: int) -> float:
    """Returns the seconds that one of the folders may take, so that one that is refused again and again starves none.

    What the others do not need is for those that come later; what is not through by then goes on at the next time.
    """
    left = max(0.0, until - time.monotonic())
    return min(left, max(LEAST_SECONDS, left / n_folders))


def _prepare_again(destination: Destination, roots: Roots, folder: Path) -> None:
    """Makes anew what is sent of a fold that was validated again since, or copied from another experiment."""
    known, scores = FoldRun.load(folder), scores_on_disk(folder)
    if known is None or scores is None:
        return
    experiment = experiment_of(folder.parent)
    is_copy = experiment is not None and known.tags.get(EXPERIMENT, group_name(experiment)) != group_name(experiment)
    is_of_others = known.made_of is not None and known.made_of != scores
    if is_copy or is_of_others or known.has_scores_to_tell(scores, settled_records(folder)):
        # Matplotlib and numpy come with it.
        from nnunet_assets.workflows.fold.adopted_fold_run import prepare_again

        prepare_again(destination, roots, folder)
