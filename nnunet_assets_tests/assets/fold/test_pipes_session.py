"""What Dagster's log has of the session in which a fold's process reports."""

import logging

import dagster as dg
import pytest

from nnunet_assets.assets.fold.fold_model import pipes_session

SEEN = (logging.WARNING, logging.ERROR)


# Of Pipes itself.
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*is currently in preview:dagster.PreviewWarning")
def test_a_process_that_says_nothing_brings_users_no_advice_for_developers() -> None:
    @dg.asset
    def fold(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with pipes_session(context):
            context.log.warning("It waits.")
        context.log.warning("It fails.")
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([fold], instance=instance)
        said = [entry.user_message for entry in instance.all_logs(run.run_id) if entry.level in SEEN]
    assert said == ["It waits.", "It fails."]
