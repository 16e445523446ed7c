"""What is in MLflow about cross-validations: this package's runs, and those that nnunet-tracker left.

A question about one group reads its newest runs, and asks fold by fold for what is not among them, so that it costs
nearly the same however many runs the experiment has. Only a list of everything reads every run.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import dropwhile, islice
from typing import TYPE_CHECKING

from nnunet_assets.core.cv_groups import CvGroup, Kind, closest, fold_order, no_experiment
from nnunet_assets.core.cv_summary import CvSummary, summarize
from nnunet_assets.core.fold_means import FoldMeansSummary, summarize_means
from nnunet_assets.core.layout import Experiment
from nnunet_assets.errors import NnunetAssetsError, SummaryError, TrackingError
from nnunet_assets.tracking import foreign_runs, names
from nnunet_assets.tracking.client import pages
from nnunet_assets.tracking.failures import explain
from nnunet_assets.tracking.fold_records import fold_means, fold_result, is_validated
from nnunet_assets.tracking.redaction import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Who made a run: the tags of its type, its group and its fold.
TAGS: Mapping[Kind, tuple[str, str, str]] = {
    "native": (names.RUN_TYPE, names.EXPERIMENT, names.FOLD),
    "nnunet_tracker": (foreign_runs.RUN_TYPE, foreign_runs.CV_GROUP, foreign_runs.FOLD),
}
NEWEST = ["attributes.start_time DESC"]
FINISHED = " AND attributes.status = 'FINISHED'"
N_FIRST = 10
"""The newest runs that are read to find the group: most often its folds are among them, and need no further query."""
NO_CASES = (
    "MLflow has no scores by case of these folds: a server on another machine gets no files unless you agree, and so "
    "there are no pooled means here."
)


class MlflowRecord:
    """What a tracking store knows; see `core.cv_groups.CvRecord`."""

    def __init__(self, client: "MlflowClient") -> None:
        self._client = client
        self.place = f"MLflow at {redacted(client.tracking_uri)}"

    def experiments(self) -> Mapping[str, Sequence[CvGroup]]:
        """Returns every MLflow experiment that has runs of folds, with its groups."""
        with _explained(self._client):
            ids = self._ids()
            runs = [(kind, run) for kind in TAGS for run in self._runs(list(ids.values()), kind)] if ids else []
        by_id: dict[str, list[tuple[Kind, Run]]] = {}
        for kind, run in runs:
            by_id.setdefault(run.info.experiment_id, []).append((kind, run))
        return {name: _groups(by_id[number]) for name, number in sorted(ids.items()) if number in by_id}

    def summary(
        self, name: str, cv_group: str | None, expected: Callable[[CvGroup], Sequence[str]]
    ) -> tuple[CvGroup, CvSummary | FoldMeansSummary]:
        """Returns a group of an MLflow experiment and what its finished folds say together."""
        with _explained(self._client):
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise no_experiment(self.place, name, list(self._ids()))
            group, newest = self._group(found.experiment_id, name, cv_group)
            folds = expected(group)
            runs = {fold: newest.get(fold) or self._finished(found.experiment_id, group, fold) for fold in folds}
            finished = {fold: run for fold, run in runs.items() if run is not None}
            if not finished:
                raise SummaryError(
                    f"{self.place} has no finished run of {' or '.join(folds)} in group {group.name}, so there is "
                    "nothing to summarize."
                )
            return group, self._summarized(group, folds, finished)

    def _summarized(
        self, group: CvGroup, folds: Sequence[str], runs: Mapping[str, "Run"]
    ) -> CvSummary | FoldMeansSummary:
        if group.experiment is None:
            means = [foreign_runs.fold_means(run, fold) for fold, run in runs.items()]
            whole_means = [fold for fold in means if fold is not None]
            experiment = foreign_runs.experiment_of(group.name)
            return summarize_means(experiment, group.name, folds, whole_means, foreign_runs.NO_CASES)
        results = [fold_result(self._client, run, fold) for fold, run in runs.items()]
        whole = [result for result in results if result is not None]
        if len(whole) == len(results):
            return summarize(group.experiment, folds, whole)
        by_fold = [fold_means(run, fold) for fold, run in runs.items()]
        return summarize_means(group.experiment, group.experiment.title, folds, by_fold, NO_CASES)

    def _ids(self) -> dict[str, str]:
        return {found.name: found.experiment_id for found in pages(self._client.search_experiments)}

    def _runs(self, ids: Sequence[str], kind: Kind, also: str = "", **options: object) -> Iterator["Run"]:
        query = f"tags.`{TAGS[kind][0]}` = 'fold'{also}"
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
        (group,) = _groups([(kind, first[0])])
        newest: dict[str, Run] = {}
        for run in first:
            if _group_name(kind, run) == group.name and _is_finished(run):
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
        type_tag, group_tag, fold_tag = TAGS[group.kind]
        # Every tag asked for costs a pass over all runs' tags: group and fold say enough.
        fold_value = fold if group.is_native else fold.removeprefix("fold_")
        query = f"tags.`{fold_tag}` = '{fold_value}'{FINISHED}"
        if group.name != foreign_runs.NO_GROUP:
            query += f" AND tags.`{group_tag}` = '{group.name}'"
        runs = pages(
            self._client.search_runs,
            experiment_ids=[experiment_id],
            filter_string=query,
            order_by=NEWEST,
            max_results=5,
        )
        of_group = (run for run in runs if run.data.tags.get(type_tag) == "fold")
        return next((run for run in of_group if _group_name(group.kind, run) == group.name and _is_finished(run)), None)


def tracked_folds(client: "MlflowClient", experiment: Experiment, *, experiment_name: str) -> dict[str, str]:
    """Returns fold to the status of its newest run, such as `FINISHED`; empty where nothing was tracked.

    Args:
        experiment_name: The MLflow experiment.

    Raises:
        TrackingError: MLflow does not answer.
    """
    key = names.experiment_tags(experiment, "fold")[names.EXPERIMENT]
    query = f"tags.`{names.RUN_TYPE}` = 'fold' AND tags.`{names.EXPERIMENT}` = '{key}'"
    with _explained(client):
        found = client.get_experiment_by_name(experiment_name)
        ids = [found.experiment_id] if found else []
        runs = list(pages(client.search_runs, experiment_ids=ids, filter_string=query, order_by=NEWEST)) if ids else []
    return {run.data.tags[names.FOLD]: run.info.status for run in reversed(runs)}


@contextmanager
def _explained(client: "MlflowClient") -> Iterator[None]:
    """Makes a sentence of whatever MLflow raises."""
    try:
        yield
    except NnunetAssetsError:
        raise
    except Exception as error:
        raise TrackingError(explain(error, client.tracking_uri).sentence) from error


def _groups(runs: Sequence[tuple[Kind, "Run"]]) -> list[CvGroup]:
    """Returns the groups that runs belong to, the newest first."""
    by_name: dict[tuple[Kind, str], list[Run]] = {}
    for kind, run in runs:
        by_name.setdefault((kind, _group_name(kind, run)), []).append(run)
    groups = [
        CvGroup(
            name,
            kind,
            tuple(sorted({fold for run in found if _is_finished(run) for fold in _fold(kind, run)}, key=fold_order)),
            max(run.info.start_time for run in found),
            dict(sorted(Counter(run.info.status for run in found).items())),
            _experiment(found[0]) if kind == "native" else None,
        )
        for (kind, name), found in by_name.items()
    ]
    return sorted(groups, key=lambda group: -group.newest_ms)


def _is_of_another(kind: Kind, cv_group: str | None, run: "Run") -> bool:
    """Says whether the run is not of the group; None: whether it holds no finished fold."""
    return not _is_finished(run) if cv_group is None else _group_name(kind, run) != cv_group


def _group_name(kind: Kind, run: "Run") -> str:
    return str(run.data.tags.get(names.EXPERIMENT)) if kind == "native" else foreign_runs.group_of(run)


def _fold(kind: Kind, run: "Run") -> list[str]:
    fold = run.data.tags.get(names.FOLD) if kind == "native" else foreign_runs.fold_of(run)
    return [fold] if fold else []


def _is_finished(run: "Run") -> bool:
    """Says whether the run holds a finished fold; one that failed, was stopped or still runs does not."""
    is_native = names.RUN_TYPE in run.data.tags
    return run.info.status == "FINISHED" and (not is_native or is_validated(run))


def _experiment(run: "Run") -> Experiment:
    tags = run.data.tags
    try:
        return Experiment(
            dataset=tags[names.DATASET],
            configuration=tags[names.CONFIGURATION],
            trainer=tags[names.TRAINER],
            plans=tags[names.PLANS],
            variant=tags.get(names.VARIANT),
        )
    except KeyError as error:
        raise TrackingError(
            f"The MLflow run {run.info.run_id} ({run.info.run_name}) lacks the tag {error}, without which nobody can "
            "tell what it is of. Delete the run, or give it the tag again."
        ) from error
