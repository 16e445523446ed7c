"""Which killed folds are started by the sensor: those alone that Dagster's own retry leaves, and each of them once."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.utils import make_new_run_id

from nnunet_assets.assets.fold.fold_model import INSTEAD_TAG, first_try
from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.sensors import build_retry_sensor, lost_retries

KEY = fold_model_key(Experiment("Dataset004_Hippocampus", "2d"))
JOB = "train__Dataset004_Hippocampus__nnUNetTrainer__nnUNetPlans__2d"
FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
OVER = BulkActionStatus.COMPLETED


@dg.asset(key=KEY, partitions_def=dg.StaticPartitionsDefinition(["fold_0", "fold_1"]))
def fold_model() -> None: ...


DEFINITIONS = dg.Definitions(assets=[fold_model])


class History:
    """An instance with runs and backfills, and the sensor's ticks on it."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor = instance, "0"
        self.sensor = build_retry_sensor({JOB: KEY})

    def backfill(self, status: BulkActionStatus) -> dict[str, str]:
        """Adds a backfill; returns the tag of its runs."""
        name = make_new_run_id()[:8]
        self.instance.add_backfill(PartitionBackfill(name, status, False, {}, time.time(), partition_names=["fold_0"]))
        return {"dagster/backfill": name}

    def killed(self, tags: dict[str, str], *, will_retry: str = "true", **more: Any) -> str:
        return self.run(FAILURE, {"dagster/will_retry": will_retry, **tags}, **more)

    def run(
        self,
        status: dg.DagsterRunStatus,
        tags: dict[str, str],
        *,
        job: str = JOB,
        fold: str = "fold_0",
        config: Any = None,
    ) -> str:
        run = dg.DagsterRun(
            job,
            run_id=make_new_run_id(),
            status=status,
            run_config=config or {},
            asset_selection=frozenset({KEY}) if job == "__ASSET_JOB" else None,
            tags={"dagster/partition": fold, **tags},
        )
        return self.instance.add_run(run).run_id

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=DEFINITIONS)
        data = self.sensor.evaluate_tick(context)
        self.cursor = str(data.cursor)
        return list(data.run_requests or [])


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    monkeypatch.setattr(lost_retries, "SETTLED_SECONDS", -1)
    monkeypatch.setattr(dg.DagsterInstance, "run_retries_enabled", True)
    with dg.DagsterInstance.ephemeral() as instance:
        yield History(instance)


@pytest.mark.parametrize("job", [JOB, "__ASSET_JOB"])
@pytest.mark.parametrize("status", [OVER, BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.COMPLETED_SUCCESS])
def test_a_fold_that_was_killed_after_its_backfill_was_over_is_started_once_more(
    history: History, status: BulkActionStatus, job: str
) -> None:
    config = {"ops": {"fold_model": {"config": {"retrain": True}}}}
    dead = history.killed(history.backfill(status), job=job, config=config)

    (request,) = history.tick()

    assert (request.asset_selection, request.partition_key, request.run_config) == ([KEY], "fold_0", config)
    assert request.tags[INSTEAD_TAG] == dead
    assert request.tags["dagster/max_retries"] == "0"
    # Dagster starts nothing twice for one run key, should a tick come before the run is there.
    assert history.tick()[0].run_key == request.run_key
    history.run(SUCCESS, {})
    assert history.tick() == []


def test_it_takes_the_place_of_the_one_that_a_person_started(history: History) -> None:
    dead = history.killed(history.backfill(OVER))
    again = history.instance.get_run_by_id(history.run(SUCCESS, {INSTEAD_TAG: dead}))
    assert first_try(history.instance, again).run_id == dead


@pytest.mark.parametrize("status", [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELED, BulkActionStatus.FAILED])
def test_what_dagster_starts_itself_and_what_a_user_canceled_is_left_alone(
    history: History, status: BulkActionStatus
) -> None:
    history.killed(history.backfill(status))
    history.killed({})
    history.killed({"dagster/backfill": "deleted"})
    assert history.tick() == []


def test_a_fold_that_failed_by_itself_is_left_alone(history: History) -> None:
    history.killed(history.backfill(OVER), will_retry="false")
    history.run(FAILURE, history.backfill(OVER))
    history.killed(history.backfill(OVER), job="summarize")
    assert history.tick() == []


def test_a_newer_run_of_the_same_fold_counts_and_one_of_another_does_not(history: History) -> None:
    dead = history.killed(history.backfill(OVER))
    history.run(SUCCESS, {}, fold="fold_1")
    history.run(SUCCESS, {}, job="train__another")
    assert [request.tags[INSTEAD_TAG] for request in history.tick()] == [dead]
    history.run(dg.DagsterRunStatus.CANCELED, {})
    assert history.tick() == []


def test_what_is_decided_is_not_read_again_and_what_is_not_yet_is(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_retries, "MARGIN_SECONDS", 0.0)
    waits = history.backfill(BulkActionStatus.REQUESTED)
    history.killed(history.backfill(BulkActionStatus.CANCELED))
    history.run(SUCCESS, {})
    history.killed(waits, fold="fold_1")
    assert history.tick() == []
    until = float(history.cursor)
    assert until > time.time() - 60
    (backfill,) = [one for one in history.instance.get_backfills() if one.status == BulkActionStatus.REQUESTED]
    history.instance.update_backfill(backfill.with_status(OVER))
    (request,) = history.tick()
    assert request.partition_key == "fold_1"
    history.run(SUCCESS, {}, fold="fold_1")
    # The clock that decides is that of the runs, which come later.
    assert (history.tick(), float(history.cursor) >= until) == ([], True)
    with monkeypatch.context() as patch:
        patch.setattr(lost_retries, "_is_over", lambda *_: pytest.fail("it was decided"))
        assert history.tick() == []


def test_what_happened_before_the_first_look_is_history(history: History) -> None:
    history.killed(history.backfill(OVER))
    history.cursor = str(time.time() + 5)
    assert history.tick() == []


def test_dagsters_own_word_comes_first(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.killed(history.backfill(OVER))
    monkeypatch.setattr(lost_retries, "SETTLED_SECONDS", 60)
    assert history.tick() == []


def test_without_retries_there_are_none(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.killed(history.backfill(OVER))
    monkeypatch.setattr(dg.DagsterInstance, "run_retries_enabled", False)
    assert history.tick() == []
