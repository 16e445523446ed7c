"""The one MLflow run of an asset that is no fold, such as a raw dataset or a summary: found by its tags, or made.

What it shows is brought up to date as a whole; files that are made later are added.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import TrackingError, first_offenders
from nnunet_assets.tracking.runs.batches import MAX_METRICS_PER_BATCH
from nnunet_assets.tracking.runs.cross_validation_run import make_run, nest_folds, run_by_tags
from nnunet_assets.tracking.runs.run_times import later_than
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.run_words import RunWords
from nnunet_assets.tracking.store.server_errors import explain, explained

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class AssetRun:
    """Which run it is, and what it is to show.

    Attributes:
        subject: What the run shows, as an error calls it, such as `The raw data of Dataset004_Hippocampus`.
        dataset: Whose MLflow experiment it is in.
        identity: The tags by which the run is found; where there is none, it is made.
        name: The run's name for people.
        tags: Beside those by which it is found.
        metrics: Series to value, whatever it showed before; None for a value: undefined. None for all: those that the
            run has stay, and files are added to it.
    """

    subject: str
    dataset: str
    identity: Mapping[str, str]
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | None] | None = None

    def showing(self, metrics: Mapping[str, float | None], tags: Mapping[str, str] | None = None) -> "AssetRun":
        """Returns the run with what it is to show."""
        return replace(self, metrics=metrics, tags={**self.tags, **(tags or {})})


@dataclass(frozen=True)
class TrackedRun:
    """What became of it; all None: there was nothing to send.

    Attributes:
        run_id: None where MLflow does not have it.
        url: The run's page; None without one.
        problem: A full sentence where MLflow does not have it, or not all of it; None where it does.
    """

    run_id: str | None = None
    url: str | None = None
    problem: str | None = None

    def known_id(self) -> str:
        """Returns the run's id, for those who cannot do without.

        Raises:
            TrackingError: MLflow does not have it.
        """
        if self.run_id is None:
            raise TrackingError(self.problem or "Nothing was sent to MLflow.")
        return self.run_id


def bring_up_to_date(
    destination: Destination,
    run: AssetRun,
    files: Sequence[Path] = (),
    *,
    folder: str | None = None,
    dagster_run_id: str | None = None,
) -> TrackedRun:
    """Makes the run show what it is to show, whatever it showed before, and ends it; never raises.

    The run is found by its tags, so that a repeated call makes no second one. A metric that is undefined now and was
    not before becomes NaN: MLflow cannot forget the old number, which would be read as today's.

    Args:
        destination: Where it goes. Files stay here where it takes none.
        run: Which run, and what it shows.
        files: Uploaded under their own names, in place of the earlier ones.
        folder: Among the run's artifacts, where the files go; None: at their top.
        dagster_run_id: The Dagster run that makes what is shown; None where none does.
    """
    sent = files if destination.takes_files else ()
    if not destination.is_on or (run.metrics is None and not sent):
        return TrackedRun()
    try:
        client = connect(destination)
        with explained(client.tracking_uri, "" if run.metrics is None else f"{run.subject} is not in MLflow."):
            experiment_id = get_or_create_experiment(client, destination.experiment_of(run.dataset), destination)
            run_id, at_ms = _show(client, experiment_id, _in_words(run, destination.words), dagster_run_id)
            for file in sent:
                client.log_artifact(run_id, str(file), folder)
            client.set_terminated(run_id, "FINISHED", at_ms)
    except Exception as error:  # noqa: BLE001 (whatever a tracking server may do, what was computed stands)
        return TrackedRun(problem=explain(error, destination.tracking_uri).sentence)
    left_out = list(names.unusable_series(run.metrics or ()).values())
    problem = f"Not sent to MLflow: {first_offenders(left_out)}." if left_out else None
    return TrackedRun(run_id, destination.run_url(experiment_id, run_id), problem)


def _in_words(run: AssetRun, words: RunWords) -> AssetRun:
    """Returns the run with what the user says of it."""
    kind = run.name.rpartition(" ")[2]
    return replace(run, name=words.name(run.name, kind), tags={**words.all_tags(), **run.tags})


def _show(client: "MlflowClient", experiment_id: str, run: AssetRun, dagster_run_id: str | None) -> tuple[str, int]:
    """Returns the run, and the time of what it shows now, which is later than all that it showed before.

    Of two points MLflow shows the later one: where the clock was set back since, it would go on showing the old one.
    """
    tags = {**run.identity, **run.tags, **({names.DAGSTER_RUN_ID: dagster_run_id} if dagster_run_id else {})}
    found = run_by_tags(client, experiment_id, run.identity)
    run_id = found or make_run(client, experiment_id, run.identity, tags, run_name=run.name)
    at_ms = later_than(client.get_run(run_id).info)
    if run.metrics is not None:
        left_out = names.unusable_series(run.metrics)
        metrics = {names.metric_name(name): value for name, value in run.metrics.items() if name not in left_out}
        _log(client, run_id, at_ms, tags, metrics)
        if run.identity[names.RUN_TYPE] == "cv_summary":
            nest_folds(client, experiment_id, run_id, run.identity[names.EXPERIMENT])
    return run_id, at_ms


def _log(
    client: "MlflowClient", run_id: str, at_ms: int, tags: Mapping[str, str], metrics: Mapping[str, float | None]
) -> None:
    from mlflow.entities import Metric, RunTag

    shown = client.get_run(run_id).data.metrics
    wanted = {name: math.nan if value is None else float(value) for name, value in metrics.items()}
    # What is not there is undefined already, and what is the same needs no second point.
    stale = {name: math.nan for name in shown if name not in wanted}
    new = {name: value for name, value in (wanted | stale).items() if not _same(shown.get(name, math.nan), value)}
    points = [Metric(name, value, at_ms, 0) for name, value in new.items()]
    texts = [RunTag(key, names.cut(redacted(text), names.MAX_TAG_LENGTH)) for key, text in tags.items()]
    client.log_batch(run_id, tags=texts, synchronous=True)
    for start in range(0, len(points), MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=points[start : start + MAX_METRICS_PER_BATCH], synchronous=True)


def _same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))
