"""How a fold is trained, whoever asks for it: a Dagster run or the command line. Knows no Dagster context."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_assets.assets.fold.fold_tracking import TrackedFold, tracked_fold
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.fold.commit import RESULT_FILES
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.training_options import TrainingOptions
from nnunet_assets.core.fold.training_rules import check_options
from nnunet_assets.core.progress import Progress
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.folds.cascade import check_previous_stage, previous_stage_commits
from nnunet_assets.nnunet.folds.fold import FoldOutcome, run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.settings import Settings


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
    dagster_run_id: str | None = None,
    asked_by: str | None = None,
) -> FoldRequest:
    """Returns what is asked of the fold's process; the last two arguments are as in `FoldRequest`.

    Raises:
        ConfigError: What is asked contradicts itself, or the weights to start from cannot be read.
        FoldError: What the fold would be trained on is missing or out of date.
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
    check_previous_stage(settings.roots, config.identity)
    if commits := previous_stage_commits(settings.roots, config.identity):
        training_hash = json_sha256([training_hash, *commits])
    inputs = fold_inputs(settings.roots, config.identity, fold, training_hash)
    overrides = config.variant.overrides() if config.variant else {}
    word = asked.despite_changes
    return FoldRequest(config.identity, fold, overrides, device, inputs, dagster_run_id, options, asked_by, word)


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


def train_fold(
    settings: Settings,
    request: FoldRequest,
    *,
    environment: Mapping[str, str],
    progress: Progress,
    retrain: bool = False,
    known: Fold | None = None,
    is_tracked: bool = True,
) -> tuple[FoldOutcome, TrackedFold]:
    """Brings a fold to its COMMIT, followed by MLflow.

    Args:
        settings: Where the project keeps its things.
        request: What to train, from `fold_request`.
        environment: As for `run_fold`; the child gets of it what `child_environment` lets through.
        progress: As for `run_fold`; is warned too where MLflow does not have everything.
        retrain: As for `run_fold`.
        known: As for `run_fold`.
        is_tracked: Whether MLflow gets to know of it.

    Raises:
        NnunetAssetsError: As `run_fold`.
    """
    place = request.experiment.place_of(settings.roots, request.fold)
    tracking = tracked_fold(settings, request, place.folder, progress) if is_tracked else nullcontext(TrackedFold())
    with (
        # First: a second run of a fold that trains must not touch its MLflow run.
        fold_lease(place),
        tracking as tracked,
    ):
        outcome = run_fold(
            request,
            settings.roots,
            environment=settings.child_environment(environment),
            retrain=retrain,
            known=known,
            progress=progress,
        )
    return outcome, tracked
