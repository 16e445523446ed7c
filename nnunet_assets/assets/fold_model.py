"""`fold_model`: five trained and validated models, one a partition."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import dagster as dg
from pydantic import Field

from nnunet_assets.assets.failures import shown_as_failure
from nnunet_assets.assets.fold_tracking import tracked_fold
from nnunet_assets.assets.queued import change_since_queued, queued_as
from nnunet_assets.config import ExperimentConfig
from nnunet_assets.core.commit import commit_sha256
from nnunet_assets.core.cv_summary import summarize
from nnunet_assets.core.journal import journal_path, read_records
from nnunet_assets.core.layout import TRAINING_POOL, Experiment, Roots, dataset_key, plans_key
from nnunet_assets.nnunet.fold import FoldOutcome, FoldRequest, fold_inputs, fold_lease, run_fold
from nnunet_assets.nnunet.results import collect_fold_results
from nnunet_assets.partitions import fold_partitions
from nnunet_assets.reports.curves import learning_curve_png
from nnunet_assets.resources import ProjectResource

DESCRIPTION = """One trained and validated model a fold, in nnU-Net's own folder `fold_k`.

Each partition trains in a process of its own and logs its curves to MLflow. A finished fold is not trained again when
it is materialized again, unless its raw data, plans, splits or settings changed or `retrain` is set in the run's
config; an interrupted one goes on from its last checkpoint. `dice` is that of whole validation cases; the pseudo Dice
of the learning curve is an estimate on random patches."""


class RunDevice(Enum):
    """The devices of `nnunet_assets.config.Device`; Dagster's run config knows enumerations, not literals."""

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


def build_fold_model(*, config: ExperimentConfig, folds: Sequence[str], group: str) -> dg.AssetsDefinition:
    """Returns the partitioned asset of one experiment."""
    experiment, device, training_hash = config.identity, config.device, config.training_hash()
    overrides = config.variant.overrides() if config.variant else {}

    @dg.asset(
        key=dg.AssetKey([*experiment.key_prefix, "fold_model"]),
        deps=[
            dg.AssetKey(plans_key(experiment.dataset, experiment.plans)),
            dg.AssetKey(dataset_key(experiment.dataset, "splits")),
        ],
        partitions_def=fold_partitions(folds),
        group_name=group,
        kinds={"pytorch", "mlflow"},
        owners=config.owners,
        description="\n\n".join(filter(None, [config.description, DESCRIPTION])),
        code_version=training_hash[:16],
        op_tags=queued_as(training_hash),
        pool=TRAINING_POOL,
    )
    def fold_model(
        context: dg.AssetExecutionContext, config: FoldRunConfig, project: ProjectResource
    ) -> dg.MaterializeResult:
        settings = project.settings
        edited = change_since_queued(context.instance, context.run, context.op_def.name, training_hash)
        for sentence in edited.values():
            context.log.warning(sentence.value)
        with shown_as_failure():
            request = FoldRequest(
                experiment=experiment,
                fold=context.partition_key,
                overrides=overrides,
                device=config.device.value if config.device else device,
                inputs=fold_inputs(settings.roots, experiment, context.partition_key, training_hash),
                dagster_run_id=context.run.run_id,
            )
            fold_folder = experiment.fold_folder(settings.roots, request.fold)
            with (
                # First: a second run of a fold that trains must not touch its MLflow run.
                fold_lease(settings.roots, experiment, request.fold),
                tracked_fold(settings, request, fold_folder, context) as tracked,
                _pipes(context) as variables,
            ):
                outcome = run_fold(
                    request,
                    settings.roots,
                    environment={**settings.variables, **variables},
                    retrain=config.retrain,
                    say=context.log.warning,
                )
            metadata = _metadata(outcome, settings.roots, experiment, fold_folder)
        if not outcome.is_new:
            context.log.info(f"{request.fold} is finished and up to date; nothing was trained.")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(commit_sha256(fold_folder)),
            metadata={**metadata, **tracked.metadata, **edited},
        )

    return fold_model


@contextmanager
def _pipes(context: dg.AssetExecutionContext) -> Iterator[Mapping[str, str]]:
    """Opens a Pipes session for the fold's process; yields the variables by which it finds the session.

    Dagster's own subprocess client signals one process and gives up after 20 s; `run_fold` ends the whole group.
    """
    with dg.open_pipes_session(
        context=context,
        context_injector=dg.PipesTempFileContextInjector(),
        message_reader=dg.PipesTempFileMessageReader(),
    ) as session:
        yield session.get_bootstrap_env_vars()


def _metadata(
    outcome: FoldOutcome, roots: Roots, experiment: Experiment, fold_folder: Path
) -> dict[str, dg.MetadataValue]:
    manifest = outcome.manifest
    summary = summarize(experiment, [manifest.fold], collect_fold_results(roots, experiment, [manifest.fold]))
    dice = {name: label.dice.pooled.mean for name, label in summary.labels.items()}
    scores = {"dice": summary.foreground.dice.pooled.mean, **{f"dice/{name}": mean for name, mean in dice.items()}}
    return {
        **{name: _number(value) for name, value in scores.items()},
        "learning_curve": dg.MetadataValue.md(_learning_curve(fold_folder)),
        "validation_cases": dg.MetadataValue.int(summary.n_cases),
        "epochs": dg.MetadataValue.int(manifest.n_epochs),
        **{f"{section}_seconds": dg.MetadataValue.float(value) for section, value in manifest.seconds.items()},
        **{f"peak_memory_{kind}_bytes": dg.MetadataValue.int(n) for kind, n in manifest.peak_memory_bytes.items()},
        "device": dg.MetadataValue.text(manifest.device),
        "folder": dg.MetadataValue.path(fold_folder),
        "versions": dg.MetadataValue.json(dict(manifest.versions)),
    }


def _number(value: float | None) -> dg.MetadataValue:
    return (
        dg.MetadataValue.text("undefined: the label is in no case") if value is None else dg.MetadataValue.float(value)
    )


def _learning_curve(fold_folder: Path) -> str:
    picture = base64.b64encode(learning_curve_png(read_records(journal_path(fold_folder)))).decode()
    return f"![learning curve](data:image/png;base64,{picture})"
