"""MLflow's client as far as this package uses it, on runs in memory: what `test_mlflow_client` holds it to.

Entities, pages and errors are MLflow's own, so that a caller can tell no difference. Artifacts are files, as those of
a database store are. It has no other method than those that the package calls: a new use needs a line here, and one in
the contract.
"""

import math
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

import pytest

from nnunet_assets.tracking.store import client
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.sqlite_store import database_path

if TYPE_CHECKING:
    from mlflow.entities import Experiment, FileInfo, Metric, Param, Run, RunTag
    from mlflow.store.entities import PagedList

CONDITION = re.compile(r"(?P<where>tags\.`(?P<tag>[^`]+)`|attributes\.status) (?P<sign>!?=) '(?P<value>[^']*)'")
ORDER = re.compile(r"attributes\.start_time (?P<direction>ASC|DESC)")


@dataclass
class _Run:
    """A run's content; `points` has every value of every metric, in the order in which they came."""

    run_id: str
    experiment_id: str
    start_time: int
    name: str
    artifacts: Path
    tags: dict[str, str]
    status: str = "RUNNING"
    end_time: int | None = None
    is_deleted: bool = False
    params: dict[str, str] = field(default_factory=dict)
    points: dict[str, list["Metric"]] = field(default_factory=dict)

    def entity(self) -> "Run":
        from mlflow.entities import Param, Run, RunData, RunInfo, RunTag

        stage = "deleted" if self.is_deleted else "active"
        info = RunInfo(
            self.run_id,
            self.experiment_id,
            "tester",
            self.status,
            self.start_time,
            self.end_time,
            stage,
            str(self.artifacts),
            self.name,
        )
        newest = [max(points, key=_newness) for points in self.points.values()]
        data = RunData(newest, [Param(*item) for item in self.params.items()], [RunTag(*i) for i in self.tags.items()])
        return Run(info, data)


def _newness(point: "Metric") -> tuple[int, int, float]:
    return point.step, point.timestamp, 0.0 if math.isnan(point.value) else point.value  # as a database has it


class InMemoryMlflow:
    """The runs of one store, and the client of them.

    Args:
        tracking_uri: What the store is asked for by.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self._lock = threading.RLock()
        self._experiments: dict[str, Experiment] = {}
        self._runs: dict[str, _Run] = {}
        self.create_experiment("Default")

    # --- experiments ----------------------------------------------------------------------------------------------

    def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
        from mlflow.entities import Experiment

        with self._lock:
            if any(found.name == name for found in self._experiments.values()):
                _refuse(f"Experiment(name={name}) already exists.", "RESOURCE_ALREADY_EXISTS")
            number = str(len(self._experiments))
            self._experiments[number] = Experiment(number, name, artifact_location or "", "active")
        return number

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        from mlflow.entities import ExperimentTag

        with self._lock:
            self.get_experiment(experiment_id)._add_tag(ExperimentTag(key, str(value)))

    def get_experiment_by_name(self, name: str) -> "Experiment | None":
        return next((found for found in self._experiments.values() if found.name == name), None)

    def get_experiment(self, experiment_id: str) -> "Experiment":
        if experiment_id not in self._experiments:
            _refuse(f"No Experiment with id={experiment_id} exists", "RESOURCE_DOES_NOT_EXIST")
        return self._experiments[experiment_id]

    def search_experiments(self, max_results: int = 1000, page_token: str | None = None) -> "PagedList[Experiment]":
        newest_first = sorted(self._experiments.values(), key=lambda found: -int(found.experiment_id))
        return _page(newest_first, max_results, page_token)

    # --- runs -----------------------------------------------------------------------------------------------------

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> "Run":
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

        home = self.get_experiment(experiment_id)
        run_id = uuid.uuid4().hex
        name = run_name or f"unnamed-{len(self._runs)}"
        given = {key: str(value) for key, value in (tags or {}).items()}
        artifacts = Path(unquote(urlsplit(home.artifact_location).path)) / run_id / "artifacts"
        start = _now_ms() if start_time is None else start_time
        run = _Run(run_id, experiment_id, start, name, artifacts, {MLFLOW_RUN_NAME: name, **given})
        with self._lock:
            self._runs[run_id] = run
        return run.entity()

    def get_run(self, run_id: str) -> "Run":
        with self._lock:
            return self._run(run_id).entity()

    def delete_run(self, run_id: str) -> None:
        with self._changed(run_id) as run:
            run.is_deleted = True

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

        with self._changed(run_id) as run:
            run.status = status or run.status
            if name:
                run.name = run.tags[MLFLOW_RUN_NAME] = name

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        with self._changed(run_id) as run:
            run.status, run.end_time = status or "FINISHED", _now_ms() if end_time is None else end_time

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str = "",
        max_results: int = 1000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[Run]":
        is_wanted = _condition(filter_string)
        (order,) = order_by or ["attributes.start_time DESC"]
        known = ORDER.fullmatch(order)
        assert known, f"The fake sorts by start_time alone, not by {order!r}."
        with self._lock:
            alive = [run for run in self._runs.values() if not run.is_deleted and run.experiment_id in experiment_ids]
            found = [run.entity() for run in alive if is_wanted(run)]
        sign = 1 if known["direction"] == "ASC" else -1
        found.sort(key=lambda run: (sign * run.info.start_time, run.info.run_id))
        return _page(found, max_results, page_token)

    # --- what a run holds -----------------------------------------------------------------------------------------

    def set_tag(self, run_id: str, key: str, value: Any) -> None:
        with self._changed(run_id) as run:
            run.tags[key] = str(value)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence["Metric"] = (),
        params: Sequence["Param"] = (),
        tags: Sequence["RunTag"] = (),
        *,
        synchronous: bool = True,
    ) -> None:
        from mlflow.utils import validation

        assert synchronous, "The package waits for every batch."
        metrics, params, tags = validation._validate_batch_log_data(metrics, params, tags)
        with self._changed(run_id) as run:
            for param in params:
                if run.params.get(param.key, param.value) != param.value:
                    _refuse(f"Changing param values is not allowed: {param.key}", "INVALID_PARAMETER_VALUE")
            run.params |= {param.key: str(param.value) for param in params}
            for metric in metrics:
                points = run.points.setdefault(metric.key, [])
                if not any(_is_same_point(point, metric) for point in points):
                    points.append(metric)
            run.tags |= {tag.key: str(tag.value) for tag in tags}

    def get_metric_history(self, run_id: str, key: str) -> list["Metric"]:
        with self._lock:
            points = self._run(run_id).points.get(key, [])
            return sorted(points, key=lambda point: (point.timestamp, point.step, point.value))

    # --- files ----------------------------------------------------------------------------------------------------

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        folder = self._run(run_id).artifacts / (artifact_path or "")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(local_path, folder)

    def list_artifacts(self, run_id: str, path: str | None = None) -> list["FileInfo"]:
        from mlflow.entities import FileInfo

        top = self._run(run_id).artifacts
        folder = top / (path or "")
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        return [
            FileInfo(one.relative_to(top).as_posix(), one.is_dir(), None if one.is_dir() else one.stat().st_size)
            for one in found
        ]

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        from mlflow.exceptions import MlflowException

        target = Path(dst_path) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            return str(shutil.copyfile(self._run(run_id).artifacts / path, target))
        except FileNotFoundError as error:
            raise MlflowException(f"No such artifact: {path}") from error

    # --- within ---------------------------------------------------------------------------------------------------

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            _refuse(f"Run with id={run_id} not found", "RESOURCE_DOES_NOT_EXIST")
        return self._runs[run_id]

    @contextmanager
    def _changed(self, run_id: str) -> Iterator[_Run]:
        """Yields a run that may be changed, as a deleted one may not."""
        with self._lock:
            run = self._run(run_id)
            if run.is_deleted:
                _refuse(f"The run {run_id} must be in the 'active' state.", "INVALID_PARAMETER_VALUE")
            yield run


def _condition(filter_string: str) -> Any:
    """Returns what a query asks of a run; a tag that the run does not have equals nothing, and differs from nothing."""
    conditions = [CONDITION.fullmatch(part) for part in filter_string.split(" AND ") if part]
    assert all(conditions), f"The fake does not know the query {filter_string!r}."

    def is_wanted(run: _Run) -> bool:
        for known in filter(None, conditions):
            value = run.tags.get(known["tag"]) if known["tag"] else run.status
            if value is None or (value == known["value"]) != (known["sign"] == "="):
                return False
        return True

    return is_wanted


def _is_same_point(left: "Metric", right: "Metric") -> bool:
    is_same_value = left.value == right.value or (math.isnan(left.value) and math.isnan(right.value))
    return is_same_value and (left.timestamp, left.step) == (right.timestamp, right.step)


def _page(found: Sequence[Any], max_results: int, page_token: str | None) -> Any:
    from mlflow.store.entities import PagedList

    first = int(page_token or 0)
    end = first + max_results
    return PagedList(list(found[first:end]), str(end) if end < len(found) else None)


def _refuse(message: str, error_code: str) -> NoReturn:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    raise MlflowException(message, ErrorCode.Value(error_code))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def stores_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps in memory what would be in an SQLite store; each URI has its own, and ends with the test."""
    stores: dict[str, InMemoryMlflow] = {}

    def opened(destination: Destination) -> InMemoryMlflow:
        database = database_path(destination.tracking_uri)
        database.parent.mkdir(parents=True, exist_ok=True)
        destination.artifacts.mkdir(parents=True, exist_ok=True)
        database.write_bytes(b"in memory")  # who only reads asks whether something is there
        return stores.setdefault(destination.tracking_uri, InMemoryMlflow(destination.tracking_uri))

    monkeypatch.setattr(client, "open_sqlite_store", opened)
