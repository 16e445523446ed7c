"""What is in MLflow about cross-validations: this package's runs, and those that nnunet-tracker left.

A question about one group reads its newest runs, and asks fold by fold for what is not among them, so that it costs
nearly the same however many runs the experiment has. Only a list of everything reads every run.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import dropwhile, islice, takewhile
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import FULL_FOLD, Experiment, fold_key
from nnunet_assets.core.summary.cv_groups import DEFAULT_FOLDS, CvGroup, Kind, closest, fold_order, no_experiment
from nnunet_assets.core.summary.fold_means import FoldMeansSummary, summarize_means
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import SummaryError, TrackingError, first_offenders
from nnunet_assets.tracking.reading import foreign_runs
from nnunet_assets.tracking.reading.fold_records import fold_means, fold_result, is_validated
from nnunet_assets.tracking.runs.cross_validation_run import EXPERIMENT_TAGS, experiment_of
from nnunet_assets.tracking.runs.runs import scores_of
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import pages
from nnunet_assets.tracking.store.destination import is_local
from nnunet_assets.tracking.store.server_errors import explained

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FINAL = "final"
"""Type of the run of a model on every case, in either package."""
# Who made a run: the tags of its type, its group and its fold.
TAGS: Mapping[Kind, tuple[str, str, str]] = {
    "native": (names.RUN_TYPE, names.EXPERIMENT, names.FOLD),
    "nnunet_tracker": (foreign_runs.RUN_TYPE, foreign_runs.CV_GROUP, foreign_runs.FOLD),
}
NEWEST = ["attributes.start_time DESC"]
FINISHED = " AND attributes.status = 'FINISHED'"
N_FIRST = 10
"""The newest runs that are read to find the group: most often its folds are among them, and need no further query."""
N_OTHERS = 100
"""The newest folds of other groups, which are read to name these."""
MAX_GAP = 5
"""Folds after nnU-Net's five are looked for until so many in a row are not finished."""


def _nothing_known(_experiment: Experiment, _fold: str) -> str | None:
    return None


class MlflowRecord:
    """What a tracking store knows; see `core.summary.cv_groups.CvRecord`.

    Args:
        client: Of the store.
        own_scores: Returns the digest of a fold's scores on this machine; None: it has no such fold. Where a copy of a
            fold was validated otherwise, both have runs, and this one's is taken here.
    """

    def __init__(
        self, client: "MlflowClient", own_scores: Callable[[Experiment, str], str | None] = _nothing_known
    ) -> None:
        self._client = client
        self._own_scores = own_scores
        self.place = f"MLflow at {redacted(client.tracking_uri)}"

    def experiments(self) -> Mapping[str, Sequence[CvGroup]]:
        """Returns every MLflow experiment that has runs of folds, with its groups."""
        with explained(self._client.tracking_uri), _without_collection():
            ids = self._ids()
            types = ("fold", FINAL)
            runs = [
                (kind, run)
                for kind in TAGS
                for run_type in types
                for run in (self._runs(list(ids.values()), kind, run_type=run_type) if ids else ())
            ]
        by_id: dict[str, list[tuple[Kind, Run]]] = {}
        for kind, run in runs:
            by_id.setdefault(run.info.experiment_id, []).append((kind, run))
        return {name: _groups(by_id[number]) for name, number in sorted(ids.items()) if number in by_id}

    def summary(
        self, name: str, cv_group: str | None, expected: Callable[[CvGroup], Sequence[str]]
    ) -> tuple[CvGroup, ScoredSummary | FoldMeansSummary]:
        """Returns a group of an MLflow experiment and what its finished folds say together."""
        with explained(self._client.tracking_uri):
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise no_experiment(self.place, name, list(self._ids()))
            group, newest = self._group(found.experiment_id, name, cv_group)
            if group.remark:
                raise TrackingError(group.remark)
            self._look_for(found.experiment_id, group, DEFAULT_FOLDS, newest)
            self._look_further(found.experiment_id, group, newest)
            group = replace(group, finished_folds=tuple(sorted(newest, key=fold_order)))
            folds = expected(group)
            self._look_for(found.experiment_id, group, folds, newest)
            finished = {
                fold: self._own(found.experiment_id, group, fold, newest[fold]) for fold in folds if fold in newest
            }
            if not finished:
                raise SummaryError(
                    f"{self.place} has no finished run of {' or '.join(folds)} in group {group.name}, so there is "
                    "nothing to summarize."
                )
            return group, self._summarized(group, folds, finished)

    def other_groups(self, name: str, group: CvGroup) -> Sequence[str]:
        """Returns the names of the other groups of an MLflow experiment, as far as its newest finished folds tell."""
        others: set[str] = set()
        with explained(self._client.tracking_uri):
            found = self._client.get_experiment_by_name(name)
            for kind, (type_tag, group_tag, _) in TAGS.items() if found else ():
                can_ask = kind == group.kind and group.name != foreign_runs.NO_GROUP
                other = f" AND tags.`{group_tag}` != '{group.name}'" if can_ask else ""
                query = f"tags.`{type_tag}` = 'fold'{FINISHED}{other}"
                runs = self._client.search_runs([found.experiment_id], query, order_by=NEWEST, max_results=N_OTHERS)
                others |= {_group_name(kind, run) for run in runs if _is_finished(run)}
        return sorted(others - {group.name})

    def _summarized(
        self, group: CvGroup, folds: Sequence[str], runs: Mapping[str, "Run"]
    ) -> ScoredSummary | FoldMeansSummary:
        if group.experiment is None:  # nnunet-tracker's
            means = [foreign_runs.fold_means(run, fold) for fold, run in runs.items()]
            whole_means = [fold for fold in means if fold is not None]
            experiment = foreign_runs.experiment_of(group.name)
            return summarize_means(experiment, group.name, folds, whole_means, foreign_runs.NO_CASES)
        results = {fold: fold_result(self._client, run, fold) for fold, run in runs.items()}
        whole = [result for result in results.values() if result is not None]
        if len(whole) == len(results):
            return summarize(group.experiment, folds, whole)
        without = first_offenders([fold for fold, result in results.items() if result is None], shown=len(results))
        reason = f"MLflow has no scores by case of {without}, and so there are no pooled means here."
        if not is_local(self._client.tracking_uri):
            reason += " A server on another machine gets no files unless you agree."
        by_fold = [fold_means(run, fold) for fold, run in runs.items()]
        return summarize_means(group.experiment, group.experiment.title, folds, by_fold, reason)

    def _look_for(self, experiment_id: str, group: CvGroup, folds: Sequence[str], found: dict[str, "Run"]) -> None:
        """Adds the newest finished run of each of the folds that is not among those found."""
        for fold in folds:
            if fold not in found and (run := self._finished(experiment_id, group, fold)):
                found[fold] = run

    def _look_further(self, experiment_id: str, group: CvGroup, found: dict[str, "Run"]) -> None:
        """Adds what is finished after nnU-Net's five folds; one question where there is nothing."""
        fold_tag = TAGS[group.kind][2]
        values = [_fold_value(group.kind, fold) for fold in DEFAULT_FOLDS]
        query = " AND ".join(f"tags.`{fold_tag}` != '{value}'" for value in values) + FINISHED + _of_group(group)
        others = self._client.search_runs([experiment_id], query, order_by=NEWEST, max_results=1)
        if not others:
            return
        known = [*DEFAULT_FOLDS, *_fold(group.kind, others[0])]
        index = len(DEFAULT_FOLDS)
        while index <= MAX_GAP + max(fold_order(fold)[0] for fold in (*known, *found) if fold != FULL_FOLD):
            self._look_for(experiment_id, group, [fold_key(index)], found)
            index += 1

    def _ids(self) -> dict[str, str]:
        return {found.name: found.experiment_id for found in pages(self._client.search_experiments)}

    def _runs(
        self, ids: Sequence[str], kind: Kind, also: str = "", *, run_type: str = "fold", **options: object
    ) -> Iterator["Run"]:
        query = f"tags.`{TAGS[kind][0]}` = '{run_type}'{also}"
        return pages(self._client.search_runs, experiment_ids=list(ids), filter_string=query, **options)

    def _group(self, experiment_id: str, name: str, cv_group: str | None) -> tuple[CvGroup, dict[str, "Run"]]:
        """Returns the group of that name, or that of the newest finished run, and newest runs of its finished folds."""
        found = self._newest(experiment_id) if cv_group is None else []
        found = found or self._first(experiment_id, cv_group)
        if not found:
            there = [group.name for group in _groups(self._all_of(experiment_id))]
            asked = "finished fold" if cv_group is None else f"group {cv_group!r}"
            raise SummaryError(f"The MLflow experiment {name!r} has no {asked}. {closest(cv_group or name, there)}")
        kind, first = max(found, key=lambda candidate: candidate[1][0].info.start_time)
        same = [run for run in first if _group_name(kind, run) == _group_name(kind, first[0])]
        (group,) = _groups([(kind, run) for run in same])
        newest: dict[str, Run] = {}
        for run in sorted(same, key=_age, reverse=True):
            if _is_finished(run):
                for fold in _fold(kind, run):
                    newest.setdefault(fold, run)
        return group, newest

    def _newest(self, experiment_id: str) -> list[tuple[Kind, list["Run"]]]:
        """Returns the folds among the newest finished runs of any kind, by who made them.

        Without a condition on tags, each of which costs MLflow a pass over all runs.
        """
        query = FINISHED.removeprefix(" AND ")
        runs = self._client.search_runs([experiment_id], query, order_by=NEWEST, max_results=N_FIRST)
        by_kind: list[tuple[Kind, list[Run]]] = [
            (kind, [run for run in runs if run.data.tags.get(tags[0]) == "fold" and _is_finished(run)])
            for kind, tags in TAGS.items()
        ]
        return [(kind, folds) for kind, folds in by_kind if folds]

    def _first(self, experiment_id: str, cv_group: str | None) -> list[tuple[Kind, list["Run"]]]:
        """Returns the newest runs of a group, or from the newest finished fold on, by who made them."""
        found: list[tuple[Kind, list[Run]]] = []
        for kind, (_, group_tag, _) in TAGS.items():
            also = FINISHED
            if cv_group is not None:
                # A quote cannot be written in MLflow's queries, and is in no name that either package gives.
                also = f" AND tags.`{group_tag}` = '{cv_group.replace(chr(39), '')}'"
            if cv_group == foreign_runs.NO_GROUP:
                also = ""  # what has no tag cannot be asked for by it
            runs = self._runs([experiment_id], kind, also, order_by=NEWEST, max_results=N_FIRST)
            of_others = partial(_is_of_another, kind, cv_group)
            if first := list(islice(dropwhile(of_others, runs), N_FIRST)):
                found.append((kind, first))
        return found

    def _all_of(self, experiment_id: str) -> list[tuple[Kind, "Run"]]:
        return [(kind, run) for kind in TAGS for run in self._runs([experiment_id], kind)]

    def _finished(self, experiment_id: str, group: CvGroup, fold: str) -> "Run | None":
        """Returns the newest run in which the fold was finished; None: there is none."""
        type_tag, _, fold_tag = TAGS[group.kind]
        # Every tag asked for costs a pass over all runs' tags: group and fold say enough.
        query = f"tags.`{fold_tag}` = '{_fold_value(group.kind, fold)}'{FINISHED}{_of_group(group)}"
        runs = pages(
            self._client.search_runs,
            experiment_ids=[experiment_id],
            filter_string=query,
            order_by=NEWEST,
            max_results=5,
        )
        of_group = (run for run in runs if run.data.tags.get(type_tag) == "fold")
        finished = (run for run in of_group if _group_name(group.kind, run) == group.name and _is_finished(run))
        first = next(finished, None)
        if first is None:
            return None
        # Runs of one training begin at one time: a copy of it that was validated otherwise has one too.
        same_training = takewhile(lambda run: run.info.start_time == first.info.start_time, finished)
        return max([first, *same_training], key=_age)

    def _own(self, experiment_id: str, group: CvGroup, fold: str, newest: "Run") -> "Run":
        """Returns the run that holds this machine's scores of the fold; the newest one where there is none."""
        own = self._own_scores(group.experiment, fold) if group.experiment else None
        if own is None or scores_of(newest) == own:
            return newest
        query = f"tags.`{names.SCORES}` = '{own}' AND tags.`{names.FOLD}` = '{fold}'{FINISHED}{_of_group(group)}"
        found = self._client.search_runs([experiment_id], query, order_by=NEWEST, max_results=1)
        return found[0] if found else newest


def tracked_folds(client: "MlflowClient", experiment: Experiment, *, experiment_name: str) -> dict[str, str]:
    """Returns fold to the status of its newest run, such as `FINISHED`; empty where nothing was tracked.

    Args:
        experiment_name: The MLflow experiment.

    Raises:
        TrackingError: MLflow does not answer.
    """
    key = names.experiment_tags(experiment, "fold")[names.EXPERIMENT]
    query = f"tags.`{names.RUN_TYPE}` = 'fold' AND tags.`{names.EXPERIMENT}` = '{key}'"
    with explained(client.tracking_uri):
        found = client.get_experiment_by_name(experiment_name)
        ids = [found.experiment_id] if found else []
        runs = list(pages(client.search_runs, experiment_ids=ids, filter_string=query, order_by=NEWEST)) if ids else []
    return {run.data.tags[names.FOLD]: run.info.status for run in reversed(runs)}


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keeps Python from looking for cyclic garbage.

    MLflow makes some 65 objects a run and leaves no garbage; with many runs, looking through them again and again takes
    more than half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _groups(runs: Sequence[tuple[Kind, "Run"]]) -> list[CvGroup]:
    """Returns the groups that runs belong to, the newest first."""
    by_name: dict[tuple[Kind, str], list[Run]] = {}
    for kind, run in runs:
        by_name.setdefault((kind, _group_name(kind, run)), []).append(run)
    groups = [_of_runs(kind, name, found) for (kind, name), found in by_name.items()]
    return sorted(groups, key=lambda group: -group.newest_ms)


def _of_runs(kind: Kind, name: str, runs: Sequence["Run"]) -> CvGroup:
    newest: dict[str, Run] = {}
    for run in sorted(runs, key=_age, reverse=True):
        for fold in _fold(kind, run) if _is_finished(run) else ():
            newest.setdefault(fold, run)
    group = CvGroup(
        name,
        kind,
        tuple(sorted(newest, key=fold_order)),
        max(run.info.start_time for run in runs),
        dict(sorted(Counter(run.info.status for run in runs).items())),
    )
    if kind != "native":
        folds = [run for fold, run in newest.items() if fold != FULL_FOLD]
        return replace(group, score="dice" if folds and all(map(foreign_runs.has_dice, folds)) else "pseudo_dice")
    known = [experiment for run in runs if (experiment := experiment_of(run.data.tags))]
    return replace(group, experiment=known[0]) if known else replace(group, remark=_remark(runs[0]))


def _is_of_another(kind: Kind, cv_group: str | None, run: "Run") -> bool:
    """Says whether the run is not of the group; None: whether it holds no finished fold."""
    return not _is_finished(run) if cv_group is None else _group_name(kind, run) != cv_group


def _group_name(kind: Kind, run: "Run") -> str:
    return str(run.data.tags.get(names.EXPERIMENT)) if kind == "native" else foreign_runs.group_of(run)


def _fold(kind: Kind, run: "Run") -> list[str]:
    fold = run.data.tags.get(names.FOLD) if kind == "native" else foreign_runs.fold_of(run)
    return [fold] if fold else []


def _fold_value(kind: Kind, fold: str) -> str:
    """Returns what the tag of a fold says."""
    return fold if kind == "native" else fold.removeprefix("fold_")


def _of_group(group: CvGroup) -> str:
    """Returns the condition on a run that it is of the group; what has no tag cannot be asked for by it."""
    return "" if group.name == foreign_runs.NO_GROUP else f" AND tags.`{TAGS[group.kind][1]}` = '{group.name}'"


def _age(run: "Run") -> tuple[int, int]:
    """Returns what sorts the runs of a fold, the newest last: when its training began, and when it was scored last."""
    scored_at: str = run.data.tags.get(names.SCORED_AT, "")
    return run.info.start_time, int(scored_at) if scored_at.isdecimal() else 0


def _is_finished(run: "Run") -> bool:
    """Says whether the run holds a finished fold; one that failed, was stopped or still runs does not."""
    is_native = names.RUN_TYPE in run.data.tags
    return run.info.status == "FINISHED" and (not is_native or is_validated(run))


def _remark(run: "Run") -> str:
    missing = first_offenders([tag for tag in EXPERIMENT_TAGS.values() if tag not in run.data.tags])
    return (
        f"The MLflow run {run.info.run_id} ({run.info.run_name}) lacks the tag {missing}, without which nobody can "
        "tell what it is of. Delete the run, or give it the tag again."
    )
