"""Where dagster-mlflow meets this package: its resource under the key `mlflow`, for users who know it.

Folds do not use it: they own their run through `tracking`. For summaries, the registry and users' own assets it is
here with what was measured against it put right: MLflow is imported only in a run that needs it; a server that is down
fails the run within seconds instead of 249; a step that fails ends the run FAILED, not FINISHED; a run has a name of
its own instead of `__ASSET_JOB`; artifacts go to the project's folder, not to `./mlruns`.

Its hook, `end_mlflow_on_run_finished`, is not needed with it, and where branches of a job go on after a failure it does
harm: it ends the run at once, and the next value that is logged silently opens a second one that nobody ends.
"""

import os
import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg

from nnunet_assets.errors import first_offenders
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment, probe
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import Status
from nnunet_assets.tracking.store.server_errors import explain

CONFIG_SCHEMA = {
    "experiment_name": dg.Field(dg.StringSource, is_required=True, description="MlFlow experiment name."),
    "mlflow_tracking_uri": dg.Field(
        dg.Noneable(dg.StringSource),
        default_value=None,
        is_required=False,
        description="MlFlow tracking server uri.",
    ),
    "parent_run_id": dg.Field(
        dg.Noneable(str),
        default_value=None,
        is_required=False,
        description="Mlflow run ID of parent run if this is a nested run.",
    ),
    "mlflow_run_id": dg.Field(
        dg.Noneable(str),
        default_value=None,
        is_required=False,
        description="Mlflow run ID to use for this run.",
    ),
    "env": dg.Field(dg.Permissive(), description="Environment variables for mlflow setup."),
    "env_to_tag": dg.Field(
        dg.Noneable(list),
        default_value=None,
        is_required=False,
        description="List of environment variables to log as tags in mlflow.",
    ),
    "extra_tags": dg.Field(dg.Permissive(), description="Any extra key-value tags to log to mlflow."),
}
"""dagster-mlflow's own, word by word: importing it costs 2.5 s in every process that loads the definitions."""

INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
"""What a step raises when somebody terminates its run: in the web UI, or with Ctrl-C."""


@dg.resource(
    config_schema=CONFIG_SCHEMA,
    description="dagster-mlflow's `mlflow`: one MLflow run for each Dagster run that needs it.",
)
def mlflow_tracking(context: dg.InitResourceContext) -> Iterator[Any]:
    """Yields dagster-mlflow's resource with an active run, and ends that run as the Dagster run ended.

    Without `mlflow_tracking_uri` the runs go where the project's own go.

    Raises:
        TrackingError: The tracking server or store does not answer, or is not MLflow's.
    """
    settings = Settings.from_environment()
    config = dict(context.resource_config)
    tracking_uri = config["mlflow_tracking_uri"] or settings.tracking_uri
    # The credentials may be among these, and the first call needs them.
    os.environ.update(config.get("env") or {})
    destination = Destination.of(settings, tracking_uri)
    probe(destination)
    client = connect(destination)
    get_or_create_experiment(client, config["experiment_name"], destination)
    with warnings.catch_warnings():
        # Every run would say three times that dagster-mlflow is in beta, as it has been for years.
        warnings.simplefilter("ignore", dg.BetaWarning)
        import dagster_mlflow

        inner = dagster_mlflow.mlflow_tracking.resource_fn(
            context.replace_config({**config, "mlflow_tracking_uri": tracking_uri})
        )
        mlflow = next(inner)
    run_id = mlflow.active_run().info.run_id
    client.set_tag(run_id, "mlflow.runName", run_name(context.run))
    try:
        yield mlflow
    finally:
        _end(context, mlflow, run_id, tracking_uri)


def run_name(run: dg.DagsterRun | None) -> str:
    """Returns what an MLflow run is called: the assets and partition that the Dagster run makes, else its job."""
    if run is None:
        return "dagster"
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    what = first_offenders(assets, shown=1) if assets else run.job_name
    return " ".join(filter(None, [what, run.tags.get("dagster/partition")]))


def _end(context: dg.InitResourceContext, mlflow: Any, run_id: str, tracking_uri: str) -> None:
    """Ends the run if it is still the active one; a server that is gone by now does not fail what was computed."""
    try:
        active = mlflow.active_run()
        if active is not None and active.info.run_id == run_id:
            mlflow.end_run(_status(context))
    except Exception as error:  # noqa: BLE001 (the results stand; the failure sensor closes the run later)
        if context.log is not None:
            context.log.warning(f"The MLflow run {run_id} stays open. {explain(error, tracking_uri).sentence}")


def _status(context: dg.InitResourceContext) -> Status:
    """Returns how the Dagster run ended, by its events: a resource is not told of the exceptions of its steps."""
    if context.instance is None or context.run is None:
        return "FINISHED"
    found = context.instance.get_records_for_run(context.run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    events = [record.event_log_entry.dagster_event for record in found]
    errors = [event.step_failure_data.error for event in events if event is not None]
    if any(error is not None and error.cls_name in INTERRUPTIONS for error in errors):
        return "KILLED"
    return "FAILED" if errors else "FINISHED"
