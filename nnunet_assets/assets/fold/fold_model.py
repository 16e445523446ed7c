"""`fold_model`: five trained and validated models, one a partition."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum

import dagster as dg
from pydantic import Field

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.fold.fold_metadata import fold_metadata
from nnunet_assets.assets.fold.partitions import fold_model_key, fold_partitions
from nnunet_assets.assets.fold.queued import change_since_queued, queued_as
from nnunet_assets.assets.fold.watched_metadata import shows_pictures, watched_metadata
from nnunet_assets.assets.types import FOLD_RESULT
from nnunet_assets.core.files.layout import TRAINING_POOL, Experiment, dataset_key, plans_key
from nnunet_assets.core.summary.cross_validation import FoldResult
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.processes.variables import FOLDS_AT_ONCE_VARIABLE
from nnunet_assets.project_folder.instance_state import pool_limit_of
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold.chosen_engine import chosen_engine, is_trained_here
from nnunet_assets.workflows.fold.train import AskedNow, fold_request, train_fold

DESCRIPTION = """One trained and validated model a fold, in nnU-Net's own folder `fold_k`.

Each partition trains in a process of its own and logs its curves to MLflow. A finished fold is not trained again when
it is materialized again, unless its raw data, plans, splits or settings changed or `retrain` is set in the run's
config; an interrupted one goes on from its last checkpoint. `dice` is that of whole validation cases; the pseudo Dice
of the learning curve is an estimate on random patches."""

RETRY_TAG = "dagster/retry_number"
"""Dagster's own, on a run that it started by itself in place of one that died."""

JOB_TAG, JOB_STATE_TAG = "nnunet_assets/job", "nnunet_assets/job_state"
"""On a run whose fold a cluster's job trains: the job's id, and how it waits or where it runs."""

INSTEAD_TAG = "nnunet_assets/instead_of"
"""On a run that a sensor of ours started in place of one that died: that one's id."""


class RunDevice(Enum):
    """The devices of `declarations.config.Device`; Dagster's run config knows enumerations, not literals."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"
    mps = "mps"


class FoldRunConfig(dg.Config):
    """What one run of a fold may ask for."""

    retrain: bool = Field(
        default=False, description="Train anew even where the fold is finished; the old one is kept, superseded."
    )
    device: RunDevice | None = Field(
        default=None, description="Where to train this time; empty: as the experiment declares."
    )
    validation_only: bool = Field(
        default=False,
        description="Predict and score the validation cases of a trained fold again, train nothing (nnU-Net's --val).",
    )
    val_best: bool = Field(
        default=False,
        description="Validate checkpoint_best.pth in place of the final one (nnU-Net's --val_best).",
    )
    npz: bool = Field(
        default=False,
        description="Keep the class probabilities of the validation cases (nnU-Net's --npz), declared or not.",
    )
    time_budget_minutes: float | None = Field(
        default=None,
        gt=0,
        description="Stop after the last epoch that leaves time to validate, in so many minutes; empty: as declared.",
    )

    track: bool = Field(
        default=True,
        description="Whether MLflow gets to know of this training; where YAML or a variable has it off, it stays off.",
    )
    track_files: bool = Field(
        default=True, description="Whether files (logs, plans, curves) go to its MLflow run too; likewise."
    )
    despite_changes: bool = Field(
        default=False,
        description="Go on with a fold that another minor version of nnU-Net began; both are recorded.",
    )

    def asked_now(self) -> AskedNow:
        """Returns what the run asks for, without Dagster's types."""
        asked = {name: value for name, value in self if name not in ("track", "track_files")}
        return AskedNow(**{**asked, "device": self.device.value if self.device else None})

    def tracked_at(self, destination: Destination) -> Destination:
        """Returns where the run of the fold goes, if anywhere."""
        return destination.switched(runs=self.track, files=self.track_files)


def build_fold_model(
    *,
    config: ExperimentConfig,
    folds: Sequence[str],
    previous: Experiment | None,
    group: str,
    pool: str = TRAINING_POOL,
) -> dg.AssetsDefinition:
    """Returns the partitioned asset of one experiment.

    Args:
        config: What is declared.
        folds: `fold_0`, `fold_1`, ...
        previous: The stage of a cascade that it starts from.
        group: In the web UI.
        pool: Dagster's, whose limit is how many train at once: of this machine, or of a cluster's jobs.
    """
    experiment, declared = config.identity, config

    @dg.asset(
        key=fold_model_key(experiment),
        deps=[
            *model_deps(config, previous),
            *_continued(config),
            dg.AssetKey(dataset_key(experiment.dataset, "splits")),
        ],
        partitions_def=fold_partitions(folds),
        group_name=group,
        dagster_type=FOLD_RESULT,
        io_manager_key=VALUES_KEY,
        kinds={"pytorch", "mlflow"},
        owners=config.owners,
        description="\n\n".join(filter(None, [config.description, DESCRIPTION])),
        code_version=config.training_hash()[:16],
        op_tags=queued_as(config.training_hash()),
        pool=pool,
    )
    def fold_model(
        context: dg.AssetExecutionContext,
        config: FoldRunConfig,
        project: ProjectResource,
        mlflow: dg.ResourceParam[object],
    ) -> dg.MaterializeResult:
        return materialize_fold(context, declared, context.partition_key, config, project=project, mlflow=mlflow)

    return fold_model


def _continued(config: ExperimentConfig) -> list[dg.AssetDep]:
    """Returns the folds that an experiment's own go on with, each with the one of its number."""
    if config.continued is None:
        return []
    return [dg.AssetDep(fold_model_key(config.continued), partition_mapping=dg.IdentityPartitionMapping())]


def model_deps(config: ExperimentConfig, previous: Experiment | None) -> list[dg.AssetDep]:
    """Returns what every model of an experiment is made from; splits are what its folds need beside it.

    Plans that are derived for a variant follow from those that are declared, and share their cases.
    """
    deps = [dg.AssetDep(dg.AssetKey(plans_key(config.dataset, config.plans)))]
    if previous:
        deps.append(dg.AssetDep(fold_model_key(previous), partition_mapping=dg.AllPartitionMapping()))
    return deps


def materialize_fold(
    context: dg.AssetExecutionContext,
    config: ExperimentConfig,
    fold: str,
    run_config: FoldRunConfig,
    *,
    project: ProjectResource,
    mlflow: object,
) -> dg.MaterializeResult:
    """Trains a fold, or finds it finished, and returns what the web UI shows of it.

    Args:
        context: The run's.
        config: What is declared.
        fold: `fold_3`, `fold_all`.
        run_config: What the run asks for beside it.
        project: The project.
        mlflow: Says where tracking goes.
    """
    settings, asked = project.settings, run_config.asked_now()
    edited = change_since_queued(context.instance, context.run, context.op_def.name, config.training_hash())
    for sentence in edited.values():
        context.log.warning(sentence.value)
    # Whoever trains beside it shares the processors with it; the user may say otherwise.
    shared = {FOLDS_AT_ONCE_VARIABLE: str(pool_limit_of(context.instance) or 1), **settings.variables}
    with shown_as_failure():
        asked_by = first_try(context.instance, context.run).run_id
        request = fold_request(settings, config, fold, asked, dagster_run_id=context.run.run_id, asked_by=asked_by)
        engine = chosen_engine(settings, config, device=asked.device, note=job_tags(context))
        # Pipes' files lie on this machine; what a job does, its files tell.
        is_here = is_trained_here(engine)
        no_pipes: AbstractContextManager[Mapping[str, str]] = nullcontext({})
        with pipes_session(context) if is_here else no_pipes as pipes:
            trained = train_fold(
                settings,
                request,
                run_config.tracked_at(destination_of(mlflow, settings).declared(config)),
                LogProgress(context.log, relays=not is_here),
                environment={**shared, **pipes},
                retrain=asked.retrain,
                engine=engine,
            )
        metadata = fold_metadata(trained) | watched_metadata(
            trained, with_pictures=shows_pictures(context.instance, settings)
        )
    if not trained.is_new:
        context.log.info(f"{fold} is finished and up to date; nothing was trained.")
    return dg.MaterializeResult(
        value=FoldResult.of(trained.scores.folds[0]) if trained.scores else trained.finished,
        data_version=dg.DataVersion(trained.finished.sha256),
        metadata={**metadata, **edited},
    )


def job_tags(context: dg.AssetExecutionContext) -> Callable[[str, str], None]:
    """Returns what shows in the tags of a run, while it lasts, which job it waits for and how that is."""

    def note(job_id: str, state: str) -> None:
        try:
            context.instance.add_run_tags(context.run.run_id, {JOB_TAG: job_id, JOB_STATE_TAG: state})
        except Exception as error:  # noqa: BLE001 (whatever a database raises: no reason to end a job)
            context.log.warning(f"The run's tags cannot be written: {error}")

    return note


def first_try(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """Returns the run that is tried again with this one, nobody having asked for it; this one, where a person did."""
    while before := run.tags.get(INSTEAD_TAG) or (RETRY_TAG in run.tags and run.parent_run_id):
        parent = instance.get_run_by_id(before)
        if parent is None:
            break
        run = parent
    return run


@contextmanager
def pipes_session(context: dg.AssetExecutionContext) -> Iterator[Mapping[str, str]]:
    """Opens a Pipes session for the fold's process; yields the variables by which it finds the session.

    Dagster's own subprocess client signals one process and gives up after 20 s; `run_fold` ends the whole group.
    """
    context.log.addFilter(_is_for_users)
    try:
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
        ) as session:
            yield session.get_bootstrap_env_vars()
    finally:
        context.log.removeFilter(_is_for_users)


def _is_for_users(record: logging.LogRecord) -> bool:
    """Says whether a line is none of Pipes' own.

    They tell developers to close a session; a process that failed says why it did, and a fold that is finished has
    none.
    """
    return not str(record.msg).startswith("[pipes] ")
