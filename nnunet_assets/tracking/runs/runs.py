"""Which MLflow run belongs to a fold, however often it was asked for.

A run is of one training (its attempt) of one fold of one experiment, and holds one set of scores at a time. A copy of a
fold is the same training: in another experiment it is another fold, and where it was validated otherwise, its scores
are not those of the run. Nobody replaces scores in a run that somebody else put there: the run of a fold is one that
holds its scores, or those that it sent there itself before, or none yet.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.tracking.runs.run_times import later_than
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import pages
from nnunet_assets.tracking.store.server_errors import explained

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FINISHED = "FINISHED"


def run_of_attempt(
    client: "MlflowClient",
    experiment_id: str,
    tags: Mapping[str, str],
    records: Sequence[Record],
    run_name: str,
    *,
    scores: str | None,
    is_copy: bool = False,
) -> str:
    """Returns the id of the run of a fold, which is made if it is not there.

    A reply that is lost makes MLflow's client ask for a new run twice; the empty twin is deleted.

    Args:
        tags: Of the run: its attempt, and which fold of which experiment it is.
        records: The fold's journal, which begins when the run does.
        scores: Digest of the fold's scores; None: it is not finished.
        is_copy: The original is there too, whose run without scores is not this one's.
    """
    query = f"tags.`{names.ATTEMPT}` = '{tags[names.ATTEMPT]}'"

    there = client.search_runs([experiment_id], query)
    found = [run for run in there if is_of_fold(run, tags) and _may_be_of(run, records, scores)]
    found = [run for run in found if not (is_copy and scores_of(run) is None)]
    if not found:
        client.create_run(experiment_id, records[0].time_ms, dict(tags), run_name=run_name)
        others = {run.info.run_id for run in there}
        found = [run for run in client.search_runs([experiment_id], query) if run.info.run_id not in others]
    # The one that holds the scores already, if there is one.
    run, *twins = sorted(found, key=lambda one: (scores_of(one) != scores, not one.data.metrics, one.info.run_id))
    for twin in twins:
        if not twin.data.metrics:
            client.delete_run(twin.info.run_id)
    return str(run.info.run_id)


def active_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """Returns the run; None where it is gone, or in MLflow's trash."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def is_of_fold(run: "Run", tags: Mapping[str, str]) -> bool:
    """Says whether a run is of the fold of the experiment that the tags name."""
    return all(run.data.tags.get(key) == tags.get(key) for key in (names.EXPERIMENT, names.FOLD) if key in tags)


def holds_only(run: "Run", known: Collection[str | None]) -> bool:
    """Says whether a run holds no scores, or ones that are known."""
    return scores_of(run) is None or scores_of(run) in known


def scores_of(run: "Run") -> str | None:
    """Returns the digest of the scores that a run holds; None: it holds none, or a version before made it."""
    found: str | None = run.data.tags.get(names.SCORES)
    return found


def _may_be_of(run: "Run", records: Sequence[Record], scores: str | None) -> bool:
    """Says whether a run that was found by its attempt may be this fold's, and not that of a copy of it."""
    if scores_of(run) is not None or run.info.status != FINISHED:
        return holds_only(run, [scores])
    # Version 0.1 gave it no digest: its means tell.
    ends = [record.values for record in records if record.kind == "end"]
    means = {names.metric_name(series): mean for series, mean in (ends[-1] if ends else {}).items()}
    there = run.data.metrics
    return all(there.get(name, mean) == mean for name, mean in means.items() if mean is not None)


def close_dead_runs(client: "MlflowClient", endings: Mapping[str, names.Status]) -> int:
    """Ends every MLflow run that one of these Dagster runs left RUNNING and returns how many there were.

    A run that a later Dagster run goes on with carries that one's id, and stays open.

    Args:
        endings: Id of a Dagster run to how it ended.

    Raises:
        TrackingError: MLflow does not answer.
    """
    with explained(client.tracking_uri):
        experiments = [found.experiment_id for found in pages(client.search_experiments)]
        # Asked by status, not by the many ids: few runs are open at a time, whatever the history.
        query = "attributes.status = 'RUNNING'"
        open_runs = pages(client.search_runs, experiment_ids=experiments, filter_string=query) if experiments else []
        dead = {run.info.run_id: run.data.tags.get(names.DAGSTER_RUN_ID) for run in open_runs}
        dead = {run_id: dagster_run_id for run_id, dagster_run_id in dead.items() if dagster_run_id in endings}
        for run_id, dagster_run_id in dead.items():
            client.set_terminated(run_id, endings[dagster_run_id], later_than(client.get_run(run_id).info))
    return len(dead)
