"""`mlflow`: the one resource that says where tracking goes, for this package's assets and for users' own.

Configured once, usable without any configuration, and replaceable: the settings are its defaults. Folds, summaries and
all others take their destination from it and own their runs through `tracking`: for them no run is opened, MLflow is
not imported, and a server that is down fails nothing.

Users' own assets get with it what dagster-mlflow gives them: MLflow's functions in one MLflow run for each Dagster run.
What was measured against dagster-mlflow alone is put right: a server that is down fails the run within seconds instead
of 249; a step that fails ends the run FAILED, not FINISHED; a run has a name of its own instead of `__ASSET_JOB`;
artifacts go to the project's folder, not to `./mlruns`; a first use makes the store as everybody here does.

Its hook, `end_mlflow_on_run_finished`, is not needed with it, and where branches of a job go on after a failure it does
harm: it ends the run at once, and the next value that is logged silently opens a second one that nobody ends.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field

from nnunet_assets.errors import TrackingError, first_offenders
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment, probe
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import Status
from nnunet_assets.tracking.store.server_errors import explain

MLFLOW_KEY = "mlflow"
PROJECT_KEY = "project"
DEFAULT_EXPERIMENT = "nnunet_assets"
"""Of a run whose assets are not all of one dataset."""
OF_DAGSTER_MLFLOW = (
    "experiment_name",
    "mlflow_tracking_uri",
    "parent_run_id",
    "mlflow_run_id",
    "env",
    "env_to_tag",
    "extra_tags",
)
"""The fields of dagster-mlflow's own resource, by its names, so that a run config for that one fits this one."""

INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
"""What a step raises when somebody terminates its run: in the web UI, or with Ctrl-C."""


class MlflowResource(dg.ConfigurableResource["Tracking"]):
    """Where tracking goes; what is not set is as the project's settings say."""

    mlflow_tracking_uri: str | None = Field(
        default=None, description="MLflow tracking URI; empty: MLFLOW_TRACKING_URI, else the project's own store."
    )
    experiment_name: str | None = Field(
        default=None,
        description="The MLflow experiment of all runs; empty: MLFLOW_EXPERIMENT_NAME, else each dataset has its own.",
    )
    ui: str | None = Field(
        default=None, description="Where a browser finds the runs; empty: at the tracking server, or as `dev` has it."
    )
    share_files: bool | None = Field(
        default=None,
        description="Whether files may go to a server on another machine; empty: as NNUNET_ASSETS_SHARE_FILES says.",
    )
    env: dict[str, Any] = Field(default={}, description="Environment variables for mlflow setup.")
    parent_run_id: str | None = Field(
        default=None, description="For your own assets: MLflow run ID of the parent run, if theirs is a nested run."
    )
    mlflow_run_id: str | None = Field(
        default=None, description="For your own assets: MLflow run ID to use in place of a new run."
    )
    env_to_tag: list[str] | None = Field(
        default=None, description="For your own assets: environment variables to log as tags."
    )
    extra_tags: dict[str, Any] = Field(default={}, description="For your own assets: key-value tags to log.")

    def destination(self, settings: Settings) -> Destination:
        """Returns where the runs of a project go."""
        default = Destination.of(settings, self.mlflow_tracking_uri)
        return replace(
            default,
            ui=self.ui or default.ui,
            share_files=default.share_files if self.share_files is None else self.share_files,
            experiment=self.experiment_name or default.experiment,
        )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Tracking"]:
        """Yields what assets get; opens a run at once where the Dagster run has steps of a user's own that ask for it.

        Raises:
            TrackingError: The store or server of such a run does not answer, or is not MLflow's. Where steps of this
                package are in the run too, these go on, and only the first use raises.
        """
        # The credentials may be among these, and the first call needs them.
        os.environ.update(self.env)
        tracking = Tracking(self, context)
        users, ours = _whose_steps(context)
        if users:
            try:
                tracking.open()
            except TrackingError as error:
                if not ours:
                    raise
                tracking.warn(str(error))
        try:
            yield tracking
        finally:
            tracking.close()


class Tracking:
    """What assets get under the key `mlflow`: MLflow's functions, as dagster-mlflow gives them, and the destination.

    The first use of one of the functions opens the MLflow run of this Dagster run, where it is not open yet.
    """

    def __init__(self, resource: MlflowResource, context: dg.InitResourceContext) -> None:
        self._resource = resource
        self._context = context
        self._mlflow: Any = None
        self._run_id = ""

    def destination(self, settings: Settings) -> Destination:
        """Returns where the runs of a project go."""
        return self._resource.destination(settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling ask for such
            raise AttributeError(name)
        return getattr(self.open(), name)

    def end_run(self, status: str = "FINISHED") -> None:
        """Ends the run, if there is one: dagster-mlflow's hook asks for it after every step."""
        if self._mlflow is not None:
            self._mlflow.end_run(status)

    def open(self) -> Any:
        """Returns dagster-mlflow's resource with an active run.

        Raises:
            TrackingError: The store or server does not answer, or is not MLflow's.
        """
        if self._mlflow is None:
            destination = self.destination(Settings.from_environment())
            destination = replace(destination, experiment=destination.experiment or experiment_name(self._context.run))
            probe(destination)
            client = connect(destination)
            get_or_create_experiment(client, str(destination.experiment), destination)
            self._mlflow = _dagster_mlflow(self._resource, destination, self._context)
            self._run_id = self._mlflow.active_run().info.run_id
            client.set_tag(self._run_id, "mlflow.runName", run_name(self._context.run))
        return self._mlflow

    def close(self) -> None:
        """Ends the run if it is still the active one; a server that is gone by now does not fail what was computed."""
        if self._mlflow is None:
            return
        try:
            active = self._mlflow.active_run()
            if active is not None and active.info.run_id == self._run_id:
                self._mlflow.end_run(_status(self._context))
        except Exception as error:  # noqa: BLE001 (the results stand; the failure sensor closes the run later)
            uri = self.destination(Settings.from_environment()).tracking_uri
            self.warn(f"The MLflow run {self._run_id} stays open. {explain(error, uri).sentence}")

    def warn(self, sentence: str) -> None:
        """Says it in the log of the Dagster run."""
        if self._context.log is not None:
            self._context.log.warning(sentence)


def destination_of(mlflow: object, settings: Settings) -> Destination:
    """Returns where a project's runs go, as whatever is bound under the key `mlflow` says.

    Args:
        mlflow: What an asset gets; of a resource that is not this package's, such as dagster-mlflow's own or an
            `MlflowClient`, its `tracking_uri` and `experiment_name` count, where it has them.
        settings: What holds where it says nothing.
    """
    if isinstance(mlflow, Tracking):
        return mlflow.destination(settings)
    default = Destination.of(settings, getattr(mlflow, "tracking_uri", None))
    return replace(default, experiment=getattr(mlflow, "experiment_name", None) or default.experiment)


def destination_in(definitions: "dg.RepositoryDefinition | None", settings: Settings) -> Destination:
    """Returns the same for a sensor, which opens no run and must not make a resource that would."""
    bound = definitions.get_top_level_resources().get(MLFLOW_KEY) if definitions else None
    if not issubclass(getattr(bound, "configurable_resource_cls", object), MlflowResource) or bound is None:
        return Destination.of(settings)
    with dg.build_resources({MLFLOW_KEY: bound}) as resources:
        return destination_of(getattr(resources, MLFLOW_KEY), settings)


def run_name(run: dg.DagsterRun | None) -> str:
    """Returns what an MLflow run is called: the assets and partition that the Dagster run makes, else its job."""
    if run is None:
        return "dagster"
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    what = first_offenders(assets, shown=1) if assets else run.job_name
    return " ".join(filter(None, [what, run.tags.get("dagster/partition")]))


def experiment_name(run: dg.DagsterRun | None) -> str:
    """Returns the MLflow experiment of a user's own assets: their dataset's, where it has one for all of them."""
    datasets = {key.path[0] for key in (run.asset_selection if run else None) or () if len(key.path) > 1}
    return datasets.pop() if len(datasets) == 1 else DEFAULT_EXPERIMENT


def _whose_steps(context: dg.InitResourceContext) -> tuple[bool, bool]:
    """Returns whether steps that ask for the resource are a user's own, and whether some are this package's."""
    run, instance = context.run, context.instance
    if run is None or instance is None or run.job_snapshot_id is None:
        return False, False
    nodes = instance.get_job_snapshot(run.job_snapshot_id).node_defs_snapshot.op_def_snaps
    asking = [set(node.required_resource_keys) for node in nodes if MLFLOW_KEY in node.required_resource_keys]
    # Whatever this package makes asks for the project too.
    return any(PROJECT_KEY not in keys for keys in asking), any(PROJECT_KEY in keys for keys in asking)


def _dagster_mlflow(resource: MlflowResource, destination: Destination, context: dg.InitResourceContext) -> Any:
    config = {
        **{name: getattr(resource, name) for name in OF_DAGSTER_MLFLOW},
        "mlflow_tracking_uri": destination.tracking_uri,
        "experiment_name": destination.experiment,
    }
    with warnings.catch_warnings():
        # Every run would say three times that dagster-mlflow is in beta, as it has been for years.
        warnings.simplefilter("ignore", dg.BetaWarning)
        import dagster_mlflow

        return next(dagster_mlflow.mlflow_tracking.resource_fn(context.replace_config(config)))


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
