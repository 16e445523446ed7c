"""Backfills as a real instance holds them; no daemon works on it here (`test_machine_restart` has one)."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.utils import make_new_run_id

from nnunet_assets.assets.fold.fold_backfill import FoldBackfills, FoldRun, Ongoing
from nnunet_assets.assets.fold.fold_model import build_fold_model
from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.errors import FoldError

EXPERIMENT = Experiment("Dataset004_Hippocampus", "2d")
OTHER = Experiment("Dataset004_Hippocampus", "2d", variant="short")
KEY = fold_model_key(EXPERIMENT)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def backfills_of(instance: dg.DagsterInstance, experiment: Experiment = EXPERIMENT) -> FoldBackfills:
    return FoldBackfills(instance, experiment, f"train__{experiment.dataset}")


def add_run(instance: dg.DagsterInstance, fold: str, status: dg.DagsterRunStatus, **more: Any) -> str:
    """Notes a run of a fold as Dagster would."""
    run = dg.DagsterRun(
        job_name="__ASSET_JOB",
        run_id=make_new_run_id(),
        status=status,
        asset_selection=frozenset({more.get("key", KEY)}),
        tags={"dagster/partition": fold, **more.get("tags", {})},
    )
    return instance.add_run(run).run_id


def test_what_is_begun_is_found_again_by_whoever_looks(instance: dg.DagsterInstance) -> None:
    asked = backfills_of(instance).begin(["fold_0", "fold_2"], [dg.AssetKey(["Dataset004_Hippocampus", "splits"])])

    found = backfills_of(instance).ongoing(["fold_0", "fold_1", "fold_2"])

    assert found == {"fold_0": asked, "fold_2": asked}
    assert backfills_of(instance, OTHER).ongoing(["fold_0"]) == {}
    stored = instance.get_backfill(asked.backfill_id)
    assert stored.status == BulkActionStatus.REQUESTED
    target = stored.asset_backfill_data.target_subset
    assert target.non_partitioned_asset_keys == {dg.AssetKey(["Dataset004_Hippocampus", "splits"])}
    assert not backfills_of(instance).is_over(asked.backfill_id)


def test_canceling_is_left_to_the_daemon_and_names_the_folds(instance: dg.DagsterInstance) -> None:
    backfills = backfills_of(instance)
    asked = backfills.begin(["fold_1", "fold_0", "fold_2"], [])
    add_run(instance, "fold_2", dg.DagsterRunStatus.SUCCESS)

    # A finished fold is not ended by it.
    assert backfills.cancel(asked.backfill_id) == ["fold_0", "fold_1"]

    assert instance.get_backfill(asked.backfill_id).status == BulkActionStatus.CANCELING
    # Until it is done, nothing is started beside it.
    assert set(backfills.ongoing(["fold_0", "fold_1"])) == {"fold_0", "fold_1"}
    instance.update_backfill(instance.get_backfill(asked.backfill_id).with_status(BulkActionStatus.CANCELED))
    assert backfills.ongoing(["fold_0"]) == {}
    assert backfills.is_over(asked.backfill_id)


def test_a_run_that_the_web_ui_started_alone_is_at_work_too(instance: dg.DagsterInstance) -> None:
    add_run(instance, "fold_0", dg.DagsterRunStatus.STARTED)
    add_run(instance, "fold_1", dg.DagsterRunStatus.SUCCESS)
    add_run(instance, "fold_2", dg.DagsterRunStatus.STARTED, key=fold_model_key(OTHER))

    found = backfills_of(instance).ongoing(["fold_0", "fold_1", "fold_2"])

    assert list(found) == ["fold_0"]
    assert found["fold_0"].backfill_id is None
    assert backfills_of(instance).run_of("fold_0", found["fold_0"]).state == "running"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, "queued"),
        (dg.DagsterRunStatus.STARTING, "running"),
        (dg.DagsterRunStatus.CANCELING, "running"),
        (dg.DagsterRunStatus.CANCELED, "canceled"),
        (dg.DagsterRunStatus.SUCCESS, "succeeded"),
    ],
)
def test_the_newest_run_of_a_fold_says_how_far_it_is(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, state: str
) -> None:
    backfills = backfills_of(instance)
    asked = backfills.begin(["fold_0"], [])
    assert backfills.run_of("fold_0", asked) == FoldRun("requested")
    add_run(instance, "fold_0", dg.DagsterRunStatus.FAILURE)
    run_id = add_run(instance, "fold_0", status)
    add_run(instance, "fold_1", dg.DagsterRunStatus.FAILURE)

    found = backfills.run_of("fold_0", asked)

    assert (found.state, found.run_id) == (state, run_id)


def test_a_killed_run_says_that_it_starts_again_and_one_before_it_was_asked_for_says_nothing(
    instance: dg.DagsterInstance,
) -> None:
    run_id = add_run(instance, "fold_0", dg.DagsterRunStatus.STARTED, tags={"dagster/will_retry": "true"})
    instance.report_run_failed(instance.get_run_by_id(run_id), "The process of this run (7) is gone.")
    begun = instance.get_run_record_by_id(run_id).create_timestamp.timestamp()
    backfills = backfills_of(instance)

    found = backfills.run_of("fold_0", Ongoing(begun, None))

    assert (found.state, found.reason, found.is_retried) == ("failed", "The process of this run (7) is gone.", True)
    assert backfills.run_of("fold_0", Ongoing(begun + 5, None)) == FoldRun("requested")


def test_what_comes_before_the_folds_is_no_fold(instance: dg.DagsterInstance) -> None:
    backfills = backfills_of(instance)
    asked = backfills.begin(["fold_0"], [dg.AssetKey(["Dataset004_Hippocampus", "splits"])])
    tags = {"dagster/backfill": str(asked.backfill_id)}
    add_run(instance, "fold_0", dg.DagsterRunStatus.STARTED, tags=tags)

    assert backfills.run_before(str(asked.backfill_id), asked) == FoldRun("requested")
    assert backfills.run_of("fold_0", asked).state == "running"


def test_a_backfill_that_was_deleted_is_a_sentence(instance: dg.DagsterInstance) -> None:
    with pytest.raises(FoldError, match="has no backfill abc any more"):
        backfills_of(instance).is_over("abc")


def test_the_folds_of_a_backfill_take_its_config_and_what_comes_before_them_ignores_it() -> None:
    config = ExperimentConfig(dataset="Dataset004_Hippocampus", configuration="2d", plans="a.b-c")
    model = build_fold_model(config=config, folds=["fold_0"], previous=None, group="g")
    prepared = dg.AssetKey([config.dataset, "a.b-c", "preprocessed_plans"])
    before = [dg.AssetSpec(key) for key in model.dependency_keys if key != prepared]

    @dg.asset(key=prepared)
    def preparation() -> None: ...

    resources = {"project": object(), "mlflow": object(), "nnunet_values": dg.InMemoryIOManager()}
    definitions = dg.Definitions(assets=[model, preparation, *before], resources=resources)
    with dg.DagsterInstance.ephemeral() as instance:
        asked = FoldBackfills(instance, config.identity, "train").begin(["fold_0"], [prepared], retrain=True)
        given = instance.get_backfill(asked.backfill_id).run_config
    job = definitions.resolve_implicit_global_asset_job_def()
    for key in (model.key, prepared):
        assert dg.validate_run_config(job.get_subset(asset_selection={key}), given)
    given["ops"][model.op.name]["config"]["unknown"] = 1
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job.get_subset(asset_selection={model.key}), given)
