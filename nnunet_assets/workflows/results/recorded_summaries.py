"""Summaries of cross-validations as a record tells them, whoever keeps it: MLflow, a results folder, or Dagster.

MLflow is imported when a summary is read from it or logged to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nnunet_assets.core.files.layout import Experiment, fold_key
from nnunet_assets.core.splits.splits_files import folds_of_split
from nnunet_assets.core.summary.cv_groups import CvGroup, CvRecord, meant_group
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError, SummaryError, first_offenders
from nnunet_assets.nnunet.results.own_folds import behind, own_scores
from nnunet_assets.nnunet.results.results_folder import FolderRecord
from nnunet_assets.settings import Settings, is_project, project_settings
from nnunet_assets.workflows.results.export_tables import Summary


def summary_in_record(
    settings: Settings,
    name: str,
    *,
    tracking_uri: str | None = None,
    cv_group: str | None = None,
    folds: Sequence[int] | None = None,
    results: Path | None = None,
) -> "FoundSummary":
    """Returns what the finished folds of an experiment say together.

    Where the record has the scores by case, the summary is a `ScoredSummary`. Where it has the fold means alone (a
    server that gets no files, runs of nnunet-tracker), it is one over folds.

    Args:
        settings: Of the project.
        name: The MLflow experiment: the dataset's name, unless another was chosen.
        tracking_uri: Where MLflow's runs are; None: `MLFLOW_TRACKING_URI`, else the project's own store.
        cv_group: Which cross-validation, as `nnunet-assets list` names it; None: the newest with a finished fold.
        folds: The folds of a complete one; None: as the project declares, else 0 to 4 and those that are finished.
        results: A results folder to read in place of MLflow.

    Raises:
        SummaryError: There is no such experiment, none of its folds is finished, or they must not be averaged.
        TrackingError: MLflow does not answer.
    """
    record = folder_record(results) if results else mlflow_record(settings, tracking_uri)
    expected = expected_folds(settings, folds)
    return find_summary(settings, record, name, cv_group, expected, is_elsewhere=bool(results))


@dataclass(frozen=True)
class FoundSummary:
    """What a record says of a cross-validation.

    Attributes:
        group: Which one.
        summary: What its finished folds say together, with 95 % intervals where it has the scores by case. Patients
            are drawn where the project's record of the splits knows them, else cases: as in `cv_summary.json`.
        behind: A sentence for each fold of which the record does not have the last result.
        others: The other groups with a finished fold, where the user did not say which one is meant.
    """

    group: CvGroup
    summary: Summary
    behind: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def choice(self) -> str:
        """A sentence that says which group was taken, and how another one is; empty: there was no choice."""
        if not self.others:
            return ""
        return (
            f"Taken: {self.group.name}, the group with the newest finished fold. --cv-group chooses another: "
            f"{first_offenders(self.others)}."
        )

    @property
    def is_whole(self) -> bool:
        """Whether it has the last result of every expected fold."""
        return self.summary.is_complete and not self.behind

    @property
    def left_out(self) -> str:
        """A sentence that names the finished folds that the summary leaves out; empty: none."""
        expected = self.summary.expected_folds
        others = self.group.left_out(expected)
        if not others:
            return ""
        named, among = (first_offenders(folds, shown=len(folds)) for folds in (others, expected))
        return f"Left out: {named}, finished too, but not among the folds {among}."


def find_summary(
    settings: Settings,
    record: CvRecord,
    name: str,
    cv_group: str | None,
    expected: Callable[[CvGroup], Sequence[str]],
    *,
    is_elsewhere: bool = False,
    knows_adopted: bool = True,
) -> FoundSummary:
    """Returns what a record says of a cross-validation, and how far it is behind this project's own results.

    Args:
        settings: Of the project.
        record: Who says it.
        name: As for `summary_in_record`.
        cv_group: Likewise.
        expected: From `expected_folds`.
        is_elsewhere: Whether the record is of other results than the project's, which are of their own right.
        knows_adopted: Whether it has to know of folds that were adopted outside the project's results.

    Raises:
        NnunetAssetsError: As `CvRecord.summary`.
    """
    group, summary = _asked_for(record, name, cv_group, expected)
    # What another program recorded is of its own right too.
    is_own = group.is_native and not is_elsewhere
    late = behind(settings.roots, settings.data if knows_adopted else None, summary, record.place) if is_own else []
    others = () if cv_group is not None else tuple(record.other_groups(name, group))
    return FoundSummary(group, _with_intervals(settings, summary), tuple(late), others)


def _asked_for(
    record: CvRecord, name: str, cv_group: str | None, expected: Callable[[CvGroup], Sequence[str]]
) -> tuple[CvGroup, Summary]:
    """Returns the group of that name; where there is none, that of which the name is a part and no other's."""
    try:
        return record.summary(name, cv_group, expected)
    except SummaryError:
        groups = record.experiments().get(name, ()) if cv_group else ()
        meant = meant_group(cv_group or "", [group.name for group in groups])
        if meant is None or meant == cv_group:
            raise
        return record.summary(name, meant, expected)


def _with_intervals(settings: Settings, summary: Summary) -> Summary:
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.core.summary.intervals import with_recorded_patients

    return with_recorded_patients(settings.roots, summary) if isinstance(summary, ScoredSummary) else summary


def mlflow_record(settings: Settings, tracking_uri: str | None = None) -> CvRecord:
    """Returns what an MLflow store knows; None: the project's own.

    Raises:
        TrackingError: It is not there, or does not answer.
    """
    from nnunet_assets.tracking.reading.queries import MlflowRecord
    from nnunet_assets.tracking.store.client import connect_to_read
    from nnunet_assets.tracking.store.destination import Destination

    client = connect_to_read(Destination.of(settings, tracking_uri))
    return MlflowRecord(client, partial(own_scores, settings.roots, settings.data))


def folder_record(folder: Path) -> CvRecord:
    """Returns what a results folder knows.

    Raises:
        SummaryError: It is not there, or holds no model.
    """
    return FolderRecord.of(folder)


def expected_folds(settings: Settings, folds: Sequence[int] | None) -> Callable[[CvGroup], Sequence[str]]:
    """Returns what says which folds a complete cross-validation of a group has.

    Args:
        settings: Of the project, whose declarations say it where nobody asks for other folds.
        folds: What the user asks for; None: nothing.

    Raises:
        ConfigError: No fold is asked for, or one twice; or the project's declarations are wrong.
    """
    if folds is not None:
        if not folds or len(set(folds)) < len(folds) or min(folds) < 0:
            raise ConfigError(
                f"The folds {list(folds)} are not the folds of a cross-validation. Name each once: 0,1,2."
            )
        named = [fold_key(index) for index in sorted(folds)]
        return lambda _group: named
    declared: dict[Experiment, Sequence[str]] = {}
    if is_project(settings.project):
        declared.update(read_project(settings.project).cross_validations())

    def expected(group: CvGroup) -> Sequence[str]:
        if group.experiment is None:
            return group.default_folds
        there = folds_of_split(settings.roots.preprocessed / group.experiment.dataset, group.finished_folds)
        return declared.get(group.experiment) or there or group.default_folds

    return expected


def log_cv_summary(
    summary: Summary,
    *,
    tracking_uri: str | None = None,
    experiment_name: str | None = None,
    settings: Settings | None = None,
) -> str:
    """Brings the one MLflow run of a summary up to date and returns its id.

    Args:
        summary: What to log. The metrics of a pseudo Dice are called so.
        tracking_uri: As for `summary_in_record`.
        experiment_name: The MLflow experiment; None: the dataset's name, or `MLFLOW_EXPERIMENT_NAME`.
        settings: Where the project keeps its things; None: as the environment and the project's `.env` say.

    Raises:
        SummaryError: The summary does not say which experiment it is of.
        TrackingError: MLflow does not answer or refuses something.
    """
    from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
    from nnunet_assets.tracking.assets.asset_runs import summary_run
    from nnunet_assets.tracking.store.destination import Destination

    settings = settings or project_settings()
    if summary.experiment is None:
        raise SummaryError(
            f"The summary of {summary.title!r} cannot be logged: its runs have no tag that says of which dataset, "
            "configuration and plans they are."
        )
    experiment = summary.experiment
    if isinstance(summary, ScoredSummary) and not summary.bootstrap:
        # Without intervals the run would lose those that it shows.
        summary = _with_intervals(settings, summary)
    # Whoever asks for it by name wants it, whatever is switched off.
    destination = replace(Destination.of(settings, tracking_uri), is_on=True)
    if experiment_name:
        destination = replace(destination, experiment=experiment_name)
    return bring_up_to_date(destination, summary_run(experiment, summary)).known_id()
