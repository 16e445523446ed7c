"""Summaries that follow their folds by themselves, on named histories of a real Dagster instance."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.graph import comparison_keys, predictions_key, summary_keys
from nnunet_assets.assets.summary.cv_summary import SEEN_METADATA
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.resources.project_folder import REFRESH_TAG
from nnunet_assets.sensors import build_nightly_report, build_refresh_sensor
from nnunet_assets_tests.assets.graphs import declared, graph

DATASET = "Dataset004_Hippocampus"
FLAT = Experiment(DATASET, "2d")
FULL = Experiment(DATASET, "3d_fullres")
EXPERIMENTS = [FLAT, FULL]
FIVE = ("fold_0", "fold_1", "fold_2", "fold_3", "fold_4")

SENSOR = build_refresh_sensor(EXPERIMENTS)
NIGHTLY = build_nightly_report(EXPERIMENTS)
DEFINITIONS = dg.Definitions.merge(
    graph(
        declared(
            [DatasetConfig(dataset=DATASET)],
            [
                ExperimentConfig(dataset=DATASET, configuration="2d"),
                ExperimentConfig(dataset=DATASET, configuration="3d_fullres"),
            ],
        )
    ),
    dg.Definitions(sensors=[SENSOR], schedules=[NIGHTLY]),
)


class History:
    """An instance to which things happen, and the part of Dagster's daemon that acts on what a sensor asks for."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.skip_message: str | None = None

    def trained(self, experiment: Experiment, *folds: str) -> None:
        for fold in folds:
            event = dg.AssetMaterialization(fold_model_key(experiment), partition=fold)
            self.instance.report_runless_asset_event(event)

    def newest_fold(self, experiment: Experiment) -> int:
        (record,) = self.instance.get_asset_records([fold_model_key(experiment)])
        return record.asset_entry.last_materialization_storage_id or 0

    def summarized(self, experiment: Experiment, seen: int) -> None:
        event = dg.AssetMaterialization(summary_keys(experiment)[0], metadata={SEEN_METADATA: seen})
        self.instance.report_runless_asset_event(event)

    def tick(self) -> list[dg.DagsterRun]:
        """Evaluates the sensor, and queues the runs that it asks for, as the daemon does: a run key once."""
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=DEFINITIONS)
        data = SENSOR.evaluate_tick(context)
        self.cursor, self.skip_message = data.cursor, data.skip_message
        return [run for request in data.run_requests or [] if (run := self._queue(request))]

    def _queue(self, request: dg.RunRequest) -> dg.DagsterRun | None:
        tags = {**request.tags, "dagster/run_key": str(request.run_key)}
        if self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": tags["dagster/run_key"]})):
            return None
        run = dg.DagsterRun(
            "__ASSET_JOB",
            tags=tags,
            status=dg.DagsterRunStatus.NOT_STARTED,
            asset_selection=frozenset(request.asset_selection or []),
        )
        return self.instance.add_run(run)

    def ended(self, run: dg.DagsterRun, *, seen: int | None = None) -> None:
        """Ends a refresh; where it made a summary, with what that saw, and all that comes after it."""
        self.instance.report_run_canceled(run)
        if seen is not None:
            (experiment,) = [one for one in EXPERIMENTS if summary_keys(one)[0] in (run.asset_selection or ())]
            self.summarized(experiment, seen)
            self.made((run.asset_selection or set()) - {summary_keys(experiment)[0]})

    def made(self, keys: Iterable[dg.AssetKey]) -> None:
        for key in keys:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key))


@pytest.fixture
def history(instance: dg.DagsterInstance) -> History:
    return History(instance)


def made_by(runs: Sequence[dg.DagsterRun]) -> list[list[str]]:
    return [sorted(key.to_user_string() for key in run.asset_selection or ()) for run in runs]


ALL_OF_FLAT = [
    "Dataset004_Hippocampus/best_configuration",
    "Dataset004_Hippocampus/comparison",
    "Dataset004_Hippocampus/dataset_report",
    *(
        f"Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__2d/{name}"
        for name in ("cv_evaluation", "cv_figures", "cv_report", "cv_summary", "cv_tables")
    ),
]


def test_where_nothing_happened_nothing_is_asked_for(history: History) -> None:
    assert history.tick() == []
    assert history.skip_message == "No new fold to summarize. Experiments with finished folds: 0."


def test_the_first_fold_alone_is_summarized(history: History) -> None:
    history.trained(FLAT, "fold_3")
    assert made_by(history.tick()) == [ALL_OF_FLAT]


def test_five_folds_that_land_together_are_one_refresh(history: History) -> None:
    history.trained(FLAT, *FIVE)
    runs = history.tick()
    assert made_by(runs) == [ALL_OF_FLAT]
    assert all(len(value) <= 63 for value in runs[0].tags.values() if value != runs[0].tags["dagster/run_key"])


def test_the_same_history_looked_at_twice_is_one_refresh(history: History) -> None:
    history.trained(FLAT, "fold_0")
    assert len(history.tick()) == 1
    assert history.tick() == []
    assert history.skip_message == "No new fold to summarize. Experiments with finished folds: 1."


def test_a_tick_whose_cursor_was_not_saved_is_one_refresh(history: History) -> None:
    history.trained(FLAT, "fold_0")
    (run,) = history.tick()
    history.ended(run)
    history.cursor = None
    assert history.tick() == []


def test_a_fold_trained_again_is_one_more_refresh(history: History) -> None:
    history.trained(FLAT, *FIVE)
    (first,) = history.tick()
    history.ended(first, seen=history.newest_fold(FLAT))
    history.trained(FLAT, "fold_2")
    assert made_by(history.tick()) == [ALL_OF_FLAT]


def test_a_fold_that_lands_during_a_refresh_waits_and_is_not_lost(history: History) -> None:
    history.trained(FLAT, "fold_0")
    (first,) = history.tick()
    seen = history.newest_fold(FLAT)
    history.trained(FLAT, "fold_1")
    assert history.tick() == []
    assert history.skip_message == (
        "No new fold to summarize. Experiments with finished folds: 1; a refresh is under way, and another follows: "
        "Dataset004_Hippocampus / nnUNetTrainer__nnUNetPlans__2d."
    )
    history.ended(first, seen=seen)
    assert made_by(history.tick()) == [ALL_OF_FLAT]
    assert history.tick() == []


def test_a_refresh_that_saw_the_late_fold_already_is_not_repeated(history: History) -> None:
    history.trained(FLAT, "fold_0")
    (first,) = history.tick()
    history.trained(FLAT, "fold_1")
    history.ended(first, seen=history.newest_fold(FLAT))
    assert history.tick() == []


def test_a_refresh_that_failed_does_not_start_again_by_itself(history: History) -> None:
    """Mixed folds would be refused again, every 30 seconds."""
    history.trained(FLAT, "fold_0")
    (run,) = history.tick()
    history.ended(run)
    assert history.tick() == []


def test_what_was_all_made_by_hand_needs_no_refresh_even_where_the_cursor_is_lost(history: History) -> None:
    history.trained(FLAT, *FIVE)
    history.summarized(FLAT, seen=history.newest_fold(FLAT))
    history.made([*summary_keys(FLAT)[1:], *comparison_keys(DATASET)])
    assert history.tick() == []


@pytest.mark.parametrize("summary_comes_last", [True, False])
def test_a_summary_made_by_hand_is_followed_by_what_is_made_of_it(history: History, summary_comes_last: bool) -> None:
    history.trained(FLAT, "fold_0")
    others = [*summary_keys(FLAT)[1:], *comparison_keys(DATASET)]
    if summary_comes_last:
        history.made(others)
    history.summarized(FLAT, seen=history.newest_fold(FLAT))
    if not summary_comes_last:
        history.made(others[1:])
    assert made_by(history.tick()) == [ALL_OF_FLAT]


def test_a_summary_made_before_the_newest_fold_needs_one(history: History) -> None:
    history.trained(FLAT, "fold_0")
    history.summarized(FLAT, seen=history.newest_fold(FLAT))
    history.trained(FLAT, "fold_1")
    assert made_by(history.tick()) == [ALL_OF_FLAT]


def test_two_experiments_have_a_refresh_each_and_do_not_wait_for_each_other(history: History) -> None:
    history.trained(FLAT, "fold_0")
    history.trained(FULL, "fold_0")
    first, second = history.tick()
    assert first.tags[REFRESH_TAG] != second.tags[REFRESH_TAG]
    # Both make comparison and report: whichever ends last has seen both summaries.
    assert (first.asset_selection or set()) & (second.asset_selection or set()) == {*comparison_keys(DATASET)}
    of_flat = first if made_by([first]) == [ALL_OF_FLAT] else second
    history.ended(of_flat, seen=history.newest_fold(FLAT))
    history.trained(FLAT, "fold_1")
    assert made_by(history.tick()) == [ALL_OF_FLAT]


def test_a_dataset_with_one_experiment_has_no_comparison_to_refresh(history: History) -> None:
    history.trained(FLAT, "fold_0")
    context = dg.build_sensor_context(history.instance, definitions=DEFINITIONS)
    sensor = build_refresh_sensor([FLAT])
    (request,) = sensor.evaluate_tick(context).run_requests or []
    assert request.asset_selection == summary_keys(FLAT)


def test_the_refresh_that_finds_every_fold_predicts_the_test_set(history: History) -> None:
    config = ExperimentConfig(dataset=DATASET, configuration="2d", test_set=True)
    definitions = graph(declared([DatasetConfig(dataset=DATASET)], [config]))
    sensor = build_refresh_sensor([FLAT], {FLAT: FIVE})

    def asked_for() -> list[dg.AssetKey]:
        context = dg.build_sensor_context(history.instance, definitions=definitions)
        (request,) = sensor.evaluate_tick(context).run_requests or []
        return list(request.asset_selection or ())

    history.trained(FLAT, *FIVE[:4])
    assert asked_for() == summary_keys(FLAT)
    history.trained(FLAT, FIVE[4])
    assert asked_for() == [*summary_keys(FLAT), predictions_key(FLAT)]


def test_an_experiment_that_is_not_declared_any_more_is_left_alone(history: History) -> None:
    history.trained(Experiment(DATASET, "3d_lowres"), "fold_0")
    assert history.tick() == []


class TestNightlyReport:
    @pytest.fixture
    def history(self, tmp_path: Path) -> Iterator[History]:
        # A schedule refuses an instance in memory.
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            yield History(instance)

    def requests(self, history: History) -> Sequence[dg.RunRequest]:
        context = dg.build_schedule_context(
            history.instance,
            scheduled_execution_time=datetime(2030, 1, 2, 3, tzinfo=UTC),
            repository_def=DEFINITIONS.get_repository_def(),
        )
        return NIGHTLY.evaluate_tick(context).run_requests or []

    def test_is_off_until_somebody_switches_it_on(self) -> None:
        assert NIGHTLY.default_status == dg.DefaultScheduleStatus.STOPPED

    def test_skips_experiments_without_a_fold(self, history: History) -> None:
        assert self.requests(history) == []
        history.trained(FLAT, "fold_0")
        (request,) = self.requests(history)
        assert request.asset_selection == summary_keys(FLAT)
        assert str(request.run_key).startswith("2030-01-02:Dataset004")

    def test_counts_as_a_refresh_under_way(self, history: History) -> None:
        history.trained(FLAT, "fold_0")
        (request,) = self.requests(history)
        history.instance.add_run(
            dg.DagsterRun("__ASSET_JOB", tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
        )
        assert history.tick() == []
