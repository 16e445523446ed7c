"""What a Dagster run asks of a fold, and which run it is that asks."""

from typing import Any

import dagster as dg

from nnunet_assets.assets.fold.fold_model import FoldRunConfig, RunDevice, first_try
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.workflows.fold.train import AskedNow


def test_what_the_run_config_asks_for_is_asked_without_dagsters_types() -> None:
    config = FoldRunConfig(device=RunDevice.cuda, validation_only=True, val_best=True, npz=True, time_budget_minutes=5)
    assert config.asked_now() == AskedNow(
        device="cuda", validation_only=True, val_best=True, npz=True, time_budget_minutes=5
    )


def test_an_empty_run_config_asks_for_nothing_more() -> None:
    declared = TrainingOptions(npz=True, time_budget_minutes=60.0, seed=1)
    assert FoldRunConfig().asked_now() == AskedNow()
    assert AskedNow().options(declared) == declared


def test_a_run_that_dagster_tries_again_is_known_by_its_first_try_and_one_that_a_person_started_by_itself() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = dg.DagsterRun("job", "first", status=dg.DagsterRunStatus.FAILURE)
        again: dict[str, Any] = {"parent_run_id": "first", "root_run_id": "first"}
        retry = dg.DagsterRun("job", "retry", tags={"dagster/retry_number": "1"}, **again)
        by_hand = dg.DagsterRun("job", "by hand", **again)
        for run in (first, retry, by_hand):
            instance.add_run(run)

        assert first_try(instance, first).run_id == "first"
        assert first_try(instance, retry).run_id == "first"
        assert first_try(instance, by_hand).run_id == "by hand"
