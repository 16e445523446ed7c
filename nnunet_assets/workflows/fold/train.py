"""A fold is trained: what is asked of it, and what comes out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.fold.commit import RESULT_FILES, FinishedFold, validated_checkpoint
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.core.training.training_rules import check_options
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.folds.cascade import check_previous_stage
from nnunet_assets.nnunet.folds.continued import continued_fold
from nnunet_assets.nnunet.folds.fold import FoldOutcome, run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.folds.followed_job import refuse_other_job
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.processes.machine.fold_samples import SystemSampler
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker, TrackingReport
from nnunet_assets.tracking.runs.run_names import fold_run_name
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import ENGINE, HOST, fold_tags
from nnunet_assets.workflows.dataset.prepare import prepared_for
from nnunet_assets.workflows.fold.fold_uploads import checkpoints_of, contents_of, files_of, logs_of


@dataclass(frozen=True)
class AskedNow:
    """What one run asks for, beside what the experiment declares.

    Attributes:
        retrain: Train anew even where the fold is finished.
        device: None: as declared.
        validation_only: As in `TrainingOptions`.
        val_best: As in `TrainingOptions`.
        npz: As in `TrainingOptions`; what the experiment declares is not taken back.
        time_budget_minutes: As in `TrainingOptions`; None: as declared.
        despite_changes: As in `FoldRequest`.
    """

    retrain: bool = False
    device: str | None = None
    validation_only: bool = False
    val_best: bool = False
    npz: bool = False
    time_budget_minutes: float | None = None
    despite_changes: bool = False

    def options(self, declared: TrainingOptions) -> TrainingOptions:
        """Returns the declared options with what is asked now over them."""
        return replace(
            declared,
            validation_only=self.validation_only,
            val_best=self.val_best,
            npz=declared.npz or self.npz,
            time_budget_minutes=self.time_budget_minutes or declared.time_budget_minutes,
        )


def fold_request(
    settings: Settings,
    config: ExperimentConfig,
    fold: str,
    asked: AskedNow,
    *,
    dataset: PreparedDataset | None = None,
    dagster_run_id: str | None = None,
    asked_by: str | None = None,
) -> FoldRequest:
    """Returns what is asked of the fold's process.

    Args:
        settings: Where the project keeps its things.
        config: The experiment.
        fold: `fold_0` ...
        asked: What one run asks for.
        dataset: As the caller read it; None: it is read now.
        dagster_run_id: As in `FoldRequest`.
        asked_by: As in `FoldRequest`.

    Raises:
        ConfigError: What is asked contradicts itself, or the weights to start from cannot be read.
        FoldError: What the fold would be trained on is missing or out of date, or what it continues is not finished.
        NnunetAssetsError: As `fold_inputs`.
    """
    device = asked.device or config.device
    options = asked.options(config.options(settings.project))
    check_options(options, device=device, retrain=asked.retrain)
    final = config.identity.fold_folder(settings.roots, fold) / RESULT_FILES[0]
    if options.validation_only and not final.is_file():
        raise FoldError(
            f"Only a fold that is trained to its end can be validated, as in nnU-Net: {final} is missing. Train it "
            "first, without validation_only."
        )
    training_hash = config.training_hash(_weights_sha256(options.pretrained_weights))
    dataset = dataset or prepared_for(settings.roots, config)
    if commits := check_previous_stage(dataset, config.identity):
        training_hash = json_sha256([training_hash, *commits])
    continued = continued_fold(dataset, config.continued, fold) if config.continued else None
    if continued:
        training_hash = json_sha256([training_hash, continued.training_hash])
    inputs = fold_inputs(dataset, config.identity, fold, training_hash)
    overrides = config.variant.overrides() if config.variant else {}
    word = asked.despite_changes
    return FoldRequest(
        config.identity, fold, overrides, device, inputs, dagster_run_id, options, asked_by, word, continued
    )


def _weights_sha256(path: str | None) -> str | None:
    """Returns the digest of pretrained weights: the same file in another place makes the same fold."""
    if path is None:
        return None
    try:
        return file_sha256(Path(path))
    except OSError as error:
        raise ConfigError(
            f"The pretrained weights {path} cannot be read: {error.strerror}. Name a checkpoint of nnU-Net (.pth), by "
            "an absolute path or one from the project's folder."
        ) from error


@dataclass(frozen=True)
class TrainedFold:
    """A fold that is finished.

    Attributes:
        request: What was asked.
        finished: What its COMMIT vouches for.
        is_new: False where it was finished already and nothing had to be done.
        scores: Of its validation cases; None for a model of all cases, whose scores say nothing about new ones.
        records: Its journal.
        tracking: What MLflow has of it; None: it is not tracked.
        run_url: Link to its MLflow run; None without a run, or where no page shows it.
    """

    request: FoldRequest
    finished: FinishedFold
    is_new: bool
    scores: ScoredSummary | None
    records: Sequence[Record]
    tracking: TrackingReport | None
    run_url: str | None

    @property
    def validation_loss(self) -> float | None:
        """nnU-Net's loss of the last epoch; None: no epoch is known, or it is undefined."""
        losses = [record.values["val_loss"] for record in self.records if record.kind == "epoch"]
        return losses[-1] if losses else None


def train_fold(
    settings: Settings,
    request: FoldRequest,
    destination: Destination | None,
    progress: Progress,
    *,
    environment: Mapping[str, str] = MappingProxyType({}),
    retrain: bool = False,
    known: Fold | None = None,
    engine: Engine = LOCAL,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> TrainedFold:
    """Brings a fold to its COMMIT, followed by MLflow.

    Args:
        settings: Where the project keeps its things.
        request: What to train, from `fold_request`.
        destination: Where its run goes; None: MLflow gets to know nothing of it.
        progress: As for `run_fold`; is warned too where MLflow does not have everything.
        environment: As for `run_fold`, over the settings' variables; the child gets of both what `child_environment`
            lets through.
        retrain: As for `run_fold`.
        known: As for `run_fold`.
        engine: As for `run_fold`.
        tags: Of its run, beside those of any fold.

    Raises:
        NnunetAssetsError: As `run_fold`.
    """
    place = request.experiment.place_of(settings.roots, request.fold)
    passed_on = settings.child_environment(environment)

    # First: a second run of a fold that trains must not touch its MLflow run.
    with fold_lease(place):
        is_followed = refuse_other_job(
            request, settings.roots, engine, environment=passed_on, retrain=retrain, progress=progress
        )

        def train() -> FoldOutcome:
            return run_fold(
                request,
                settings.roots,
                environment=passed_on,
                retrain=retrain,
                known=known,
                engine=engine,
                is_followed=is_followed,
                progress=progress,
            )

        outcome, report = (
            tracked(train, settings, request, destination, progress, engine=engine, more_tags=tags)
            if destination and destination.is_on
            else (train(), None)
        )
    return TrainedFold(
        request=request,
        finished=outcome.finished,
        is_new=outcome.is_new,
        scores=outcome.scores,
        records=tuple(read_records(journal_path(place.folder))),
        tracking=report,
        run_url=destination.run_url(report.experiment_id, report.run_id)
        if destination and report and report.experiment_id and report.run_id
        else None,
    )


def tracked(
    train: Callable[[], FoldOutcome],
    settings: Settings,
    request: FoldRequest,
    destination: Destination,
    progress: Progress,
    *,
    engine: Engine = LOCAL,
    more_tags: Mapping[str, str] = MappingProxyType({}),
) -> tuple[FoldOutcome, TrackingReport]:
    """Trains a fold beside its MLflow run; tracking that fails is said and counted, and never ends the training.

    The run ends FINISHED, FAILED by an error, or KILLED by a termination; a run that failed has the logs that say why.
    """
    place = request.experiment.place_of(settings.roots, request.fold)
    validated = validated_checkpoint(val_best=request.options.val_best)
    tags = fold_tags(
        request.experiment,
        request.fold,
        request.inputs,
        validated=validated,
        dagster_run_id=request.dagster_run_id,
        continues=request.continued.experiment if request.continued else None,
    )
    n_gpus = 0 if request.device in ("cpu", "mps") else request.options.num_gpus
    is_here = engine.name == LOCAL.name
    # Of another machine the tags come with its manifest, and the job samples it.
    machine = {HOST: host_name()} if is_here else {ENGINE: engine.name}
    with FoldTracker(
        destination,
        experiment_name=destination.experiment_of(request.experiment.dataset),
        fold_folder=place.folder,
        tags={**destination.words.all_tags(), **tags, **machine, **more_tags},
        run_name=destination.words.name(fold_run_name(request.experiment, request.fold), request.fold),
    ) as tracker:
        try:
            with SystemSampler(place.folder, n_gpus) if is_here else nullcontext():
                outcome = train()
        except Exception as error:
            failure = str(error.failure) if isinstance(error, FoldFailed) else "crashed"
            _warn(progress, tracker.finish("FAILED", logs_of(place.folder), failure=failure))
            raise
        files = [*files_of(place.folder), *checkpoints_of(place.folder, settings.checkpoints_mb, progress)]
        made = contents_of(place, lambda: outcome.scores, lambda: outcome.dataset.splits, progress)
        report = tracker.finish("FINISHED", files, made, finished=outcome.finished)
    _warn(progress, report)
    return outcome, report


def _warn(progress: Progress, report: TrackingReport) -> None:
    if report.problem:
        remedy = "" if report.is_done else " `nnunet-assets sync` sends what waits."
        progress.warn(f"{report.problem}{remedy}")
