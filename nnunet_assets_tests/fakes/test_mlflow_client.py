"""What the package relies on of MLflow's client, shown on a real store and on the fake alike."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.tracking.store.client import connect, connect_to_read, get_or_create_experiment, pages
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.environment import environment_without
from nnunet_assets_tests.fakes.mlflow_client import InMemoryMlflow
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

NOW = 1_900_000_000_000


def metric(key: str, value: float, *, time_ms: int = NOW, step: int = 0) -> Any:
    from mlflow.entities import Metric

    return Metric(key, value, time_ms, step)


def param(key: str, value: str) -> Any:
    from mlflow.entities import Param

    return Param(key, value)


def tag(key: str, value: str) -> Any:
    from mlflow.entities import RunTag

    return RunTag(key, value)


def refused(error_code: str) -> Any:
    """Expects MLflow's own error with a code."""
    from mlflow.exceptions import MlflowException

    return pytest.raises(MlflowException, check=lambda error: error.error_code == error_code)


class MlflowClientContract(ABC):
    """Each test has a store of its own, or looks only at what it put there."""

    @pytest.fixture(autouse=True)
    def _environment(self) -> Iterator[None]:
        with environment_without(["MLFLOW_TRACKING_URI"]):
            yield

    @pytest.fixture
    @abstractmethod
    def destination(self, tmp_path: Path) -> Destination:
        """Where the store is."""

    @pytest.fixture
    def client(self, destination: Destination) -> Any:
        return connect(destination)

    @pytest.fixture
    def home(self, client: Any, destination: Destination, request: pytest.FixtureRequest) -> str:
        """The id of an experiment without runs."""
        return get_or_create_experiment(client, f"Dataset001 {request.node.name}", destination)

    @pytest.fixture
    def run_id(self, client: Any, home: str) -> str:
        return str(client.create_run(home).info.run_id)

    def test_an_experiment_is_made_once_and_found_by_its_name(
        self, client: Any, destination: Destination, home: str
    ) -> None:
        found = client.get_experiment(home)
        assert (found.experiment_id, found.lifecycle_stage) == (home, "active")
        assert get_or_create_experiment(client, found.name, destination) == home
        assert client.get_experiment_by_name("Dataset999_Nobody") is None
        with refused("RESOURCE_ALREADY_EXISTS"):
            client.create_experiment(found.name)
        with refused("RESOURCE_DOES_NOT_EXIST"):
            client.get_experiment("4711")

    def test_an_experiment_has_the_tags_that_it_was_given_last(self, client: Any, home: str) -> None:
        name = client.get_experiment(home).name
        client.set_experiment_tag(home, "colour", "red")
        client.set_experiment_tag(home, "colour", "blue")
        assert client.get_experiment_by_name(name).tags["colour"] == "blue"
        assert client.get_experiment(home).tags["colour"] == "blue"
        with refused("RESOURCE_DOES_NOT_EXIST"):
            client.set_experiment_tag("4711", "colour", "red")

    def test_experiments_come_in_pages_the_newest_first(self, client: Any, destination: Destination, home: str) -> None:
        later = get_or_create_experiment(client, f"{client.get_experiment(home).name} later", destination)
        ids = [found.experiment_id for found in pages(client.search_experiments, max_results=1)]
        assert ids[:2] == [later, home]
        assert ids[-1] == "0"  # MLflow's own `Default`
        assert len(ids) == len(set(ids))

    def test_a_run_begins_as_it_is_told_and_is_running(self, client: Any, home: str) -> None:
        made = client.create_run(home, 5, {"fold": "fold_0"}, run_name="a fold")
        run = client.get_run(made.info.run_id)
        assert (run.info.start_time, run.info.end_time, run.info.status) == (5, None, "RUNNING")
        assert (run.info.experiment_id, run.info.run_name, run.info.lifecycle_stage) == (home, "a fold", "active")
        assert (run.data.tags["fold"], run.data.tags["mlflow.runName"]) == ("fold_0", "a fold")
        assert run.data.to_dictionary() == made.data.to_dictionary()
        with refused("RESOURCE_DOES_NOT_EXIST"):
            client.get_run("0" * 32)

    def test_a_run_ends_and_may_run_again_and_keeps_when_it_ended(self, client: Any, run_id: str) -> None:
        client.set_terminated(run_id)
        assert client.get_run(run_id).info.status == "FINISHED"
        assert client.get_run(run_id).info.end_time > 0
        client.set_terminated(run_id, "KILLED", 7)
        assert (client.get_run(run_id).info.status, client.get_run(run_id).info.end_time) == ("KILLED", 7)
        client.update_run(run_id, status="RUNNING")
        assert (client.get_run(run_id).info.status, client.get_run(run_id).info.end_time) == ("RUNNING", 7)

    def test_a_deleted_run_is_found_by_its_id_alone_and_takes_nothing(
        self, client: Any, home: str, run_id: str
    ) -> None:
        client.delete_run(run_id)
        assert client.get_run(run_id).info.lifecycle_stage == "deleted"
        assert client.search_runs([home]) == []
        with refused("INVALID_PARAMETER_VALUE"):
            client.log_batch(run_id, metrics=[metric("dice", 0.5)], synchronous=True)

    def test_what_a_batch_holds_is_the_runs(self, client: Any, run_id: str) -> None:
        client.log_batch(run_id, [metric("dice", 0.5)], [param("lr", "0.1")], [tag("fold", "1")], synchronous=True)
        client.set_tag(run_id, "fold", "2")
        data = client.get_run(run_id).data
        assert (data.metrics, data.params, data.tags["fold"]) == ({"dice": 0.5}, {"lr": "0.1"}, "2")

    def test_a_parameter_does_not_change_and_what_came_with_the_change_is_not_kept(
        self, client: Any, run_id: str
    ) -> None:
        client.log_batch(run_id, params=[param("lr", "0.1")], synchronous=True)
        client.log_batch(run_id, params=[param("lr", "0.1")], synchronous=True)
        with refused("INVALID_PARAMETER_VALUE"):
            client.log_batch(run_id, params=[param("new", "1"), param("lr", "0.2")], synchronous=True)
        assert client.get_run(run_id).data.params == {"lr": "0.1"}

    @pytest.mark.parametrize("name", ["dice/tumor (core)", "a\nb", "../up", "Ä?"])
    def test_a_name_that_mlflow_does_not_take_is_refused(self, client: Any, run_id: str, name: str) -> None:
        with refused("INVALID_PARAMETER_VALUE"):
            client.log_batch(run_id, [metric("fine", 1.0), metric(name, 0.5)], synchronous=True)
        assert client.get_run(run_id).data.metrics == {}

    def test_a_batch_may_be_of_any_size(self, client: Any, run_id: str) -> None:
        metrics, params = [metric(f"m{n}", 1.0) for n in range(1001)], [param(f"p{n}", "1") for n in range(101)]
        client.log_batch(run_id, metrics, params, synchronous=True)
        data = client.get_run(run_id).data
        assert (len(data.metrics), len(data.params)) == (1001, 101)

    def test_the_value_shown_is_that_of_the_latest_step_then_time_then_the_larger(
        self, client: Any, run_id: str
    ) -> None:
        steps = [metric("dice", 0.1, step=2), metric("dice", 0.9, step=1, time_ms=NOW + 9)]
        times = [metric("iou", 0.9, time_ms=1), metric("iou", 0.1, time_ms=2)]
        values = [metric("loss", 0.9), metric("loss", 0.1), metric("loss", math.nan)]  # NaN is a 0 there
        client.log_batch(run_id, [*steps, *times, *values], synchronous=True)
        assert client.get_run(run_id).data.metrics == {"dice": 0.1, "iou": 0.1, "loss": 0.9}

    def test_every_point_is_kept_once_and_nan_is_one(self, client: Any, run_id: str) -> None:
        points = [metric("dice", 0.5, step=1), metric("dice", math.nan, step=2, time_ms=NOW + 1)]
        for _ in range(2):
            client.log_batch(run_id, points, synchronous=True)
        first, second = client.get_metric_history(run_id, "dice")
        assert (first.step, first.value, first.timestamp) == (1, 0.5, NOW)
        assert (second.step, math.isnan(second.value)) == (2, True)
        assert math.isnan(client.get_run(run_id).data.metrics["dice"])
        assert list(client.get_metric_history(run_id, "iou")) == []

    def test_runs_are_found_by_tags_and_status(self, client: Any, home: str) -> None:
        def made(status: str, **tags: str) -> str:
            run_id = str(client.create_run(home, tags=tags).info.run_id)
            if status != "RUNNING":
                client.set_terminated(run_id, status)
            return run_id

        one, two, other = made("FINISHED", fold="0"), made("RUNNING", fold="1"), made("FINISHED", kind="summary")

        def found(query: str) -> set[str]:
            return {run.info.run_id for run in client.search_runs([home], query)}

        assert found("") == {one, two, other}
        assert found("tags.`fold` = '0'") == {one}
        assert found("tags.`fold` != '0'") == {two}  # and not the one that has no such tag
        assert found("attributes.status = 'FINISHED'") == {one, other}
        assert found("tags.`fold` != '7' AND attributes.status = 'RUNNING' AND tags.`fold` = '1'") == {two}
        assert client.search_runs(["4711"]) == []

    def test_runs_come_in_order_and_in_pages(self, client: Any, home: str) -> None:
        begun = {time: str(client.create_run(home, time).info.run_id) for time in (20, 10, 30)}
        newest, oldest = [begun[time] for time in (30, 20, 10)], [begun[time] for time in (10, 20, 30)]

        def found(**how: Any) -> list[str]:
            return [run.info.run_id for run in pages(client.search_runs, experiment_ids=[home], **how)]

        assert found() == found(order_by=["attributes.start_time DESC"]) == newest
        assert found(order_by=["attributes.start_time ASC"]) == oldest
        assert found(max_results=2) == newest
        assert len(client.search_runs([home], max_results=2)) == 2

    def test_files_come_back_and_a_later_one_takes_the_place(
        self, client: Any, destination: Destination, run_id: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "table.json"
        for text in ("first", "second"):
            file.write_text(text)
            client.log_artifact(run_id, str(file))
            client.log_artifact(run_id, str(file), "tables")
        assert [(one.path, one.is_dir) for one in client.list_artifacts(run_id)] == [
            ("table.json", False),
            ("tables", True),
        ]
        assert [one.path for one in client.list_artifacts(run_id, "tables")] == ["tables/table.json"]
        target = tmp_path / "here"
        target.mkdir()
        assert Path(client.download_artifacts(run_id, "tables/table.json", str(target))).read_text() == "second"
        assert (destination.artifacts / run_id / "artifacts" / "table.json").read_text() == "second"

    def test_a_file_that_is_not_there_is_an_error(self, client: Any, run_id: str, tmp_path: Path) -> None:
        assert list(client.list_artifacts(run_id)) == []
        with pytest.raises(FileNotFoundError):
            client.log_artifact(run_id, str(tmp_path / "nothing"))

    def test_who_reads_finds_what_was_written(self, client: Any, destination: Destination, run_id: str) -> None:
        assert connect_to_read(destination).get_run(run_id).info.run_id == run_id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Destination:
    """One for all tests: MLflow takes 2 s to make one."""
    folder = tmp_path_factory.mktemp("mlflow")
    return Destination(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


class TestMlflow(MlflowClientContract):
    @pytest.fixture
    def destination(self, store: Destination) -> Destination:
        return store

    def test_it_is_the_real_one(self, client: Any) -> None:
        from mlflow import MlflowClient

        assert isinstance(client, MlflowClient)


class TestInMemory(MlflowClientContract):
    @pytest.fixture
    def destination(self, tmp_path: Path, stores_in_memory: None) -> Destination:
        return Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")

    def test_it_is_the_fake_and_each_store_is_another(self, client: Any, tmp_path: Path) -> None:
        assert isinstance(client, InMemoryMlflow)
        assert connect(Destination(f"sqlite:///{tmp_path}/other.db", tmp_path / "artifacts")) is not client
