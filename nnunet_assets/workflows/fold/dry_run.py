"""What a training would do, without doing any of it: nothing is written, and no process of nnU-Net's started."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import DEFAULT_TRAINER, FULL_FOLD, FoldPlace
from nnunet_assets.core.fold.fold import Fold, finished_siblings
from nnunet_assets.core.fold.journal import journal_path, n_saved_epochs, read_records
from nnunet_assets.core.fold.validation_work import ValidationWork
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.core.training.trained_epoch import duration
from nnunet_assets.core.training.training_rules import check_options
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.fold_attempt import check_versions
from nnunet_assets.nnunet.folds.fold_inputs import check_fold
from nnunet_assets.processes.machine.device_lease import gpu_models, usable_gpus
from nnunet_assets.processes.machine.disk_space import needed_checkpoint_bytes
from nnunet_assets.processes.machine.torch_devices import check_device
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset.preparation_work import PreparationWork, preparation_work
from nnunet_assets.workflows.dataset.prepare import Readiness, readiness
from nnunet_assets.workflows.fold.chosen_engine import chosen_engine, is_trained_here
from nnunet_assets.workflows.fold.start import is_to_validate, refuse_missing_fold, starting_point
from nnunet_assets.workflows.fold.train import AskedNow, fold_request

NNUNET_EPOCHS = 1000
"""What nnU-Net's own trainer trains."""


BEGUN = ("interrupted", "trained")
"""States of a fold that is gone on with."""


@dataclass(frozen=True)
class DryRun:
    """What a training would do.

    Attributes:
        title: The fold.
        steps: What would be done, in order; empty: nothing.
        device: On what.
        epochs_left: How many epochs it would train; None: as many as its trainer has, less those that are trained.
        seconds: How long training and validation may take; None: nothing is known of such a fold yet.
        disk_bytes: What its checkpoints would take beyond what is there; None: not known.
        free_bytes: On the disk where they would lie.
        folder: nnU-Net's folder of the fold.
        preprocessed: The folder of its prepared data.
        preparation: What its preparation would read and write; None: it is prepared.
    """

    title: str
    steps: Sequence[str]
    device: str
    epochs_left: int | None
    seconds: float | None
    disk_bytes: int | None
    free_bytes: int
    folder: Path
    preprocessed: Path
    preparation: PreparationWork | None = None

    def in_words(self) -> list[str]:
        """Returns it a line each."""
        took = "not known before the first epoch of a fold of this model"
        room = "not known before the first checkpoint; three of them are there at once"
        if self.seconds is not None:
            took = f"about {duration(self.seconds)}, by what epochs of this model's folds took here"
        if self.disk_bytes is not None:
            room = f"about {bytes_text(self.disk_bytes)} for checkpoints"
        epochs = "" if not self.epochs_left else f", {self.epochs_left} epochs"
        lines = [f"{self.title}{epochs}:", *(f"  {n}. {step}" for n, step in enumerate(self.steps, 1))]
        if not self.steps:
            lines = [f"{self.title}: finished already; nothing would be done. --retrain trains it anew."]
        return [
            *lines,
            *(self.preparation.in_words() if self.preparation else ()),
            f"Device: {self.device}",
            f"Time for training and validation: {took}",
            f"Disk for the fold: {room}; {bytes_text(self.free_bytes)} are free at {self.folder}",
            f"Prepared data: {self.preprocessed}",
            "This was a dry run: nothing was written.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns it as `--json` prints it."""
        return {
            **vars(self),
            "steps": list(self.steps),
            "folder": str(self.folder),
            "preprocessed": str(self.preprocessed),
            "preparation": asdict(self.preparation) if self.preparation else None,
        }


def dry_run(
    settings: Settings,
    project: Project,
    config: ExperimentConfig,
    fold: str,
    asked: AskedNow,
    *,
    continue_training: bool = False,
) -> DryRun:
    """Returns what a training would do that is asked for in this way.

    Raises:
        NnunetAssetsError: It would be refused, as far as that shows without doing anything.
    """
    options, device = asked.options(config.options(settings.project)), asked.device or config.device
    check_options(options, device=device, retrain=asked.retrain, continue_training=continue_training)
    place = config.identity.place_of(settings.roots, fold)
    refuse_missing_fold(settings, project, config, fold)
    if is_trained_here(chosen_engine(settings, config, device=device)):
        check_device(device, options.num_gpus, settings.child_environment())
    if not asked.retrain:
        check_versions(place, despite_changes=asked.despite_changes)
    ready, there = readiness(settings, config), Fold.read(place, check_files=True)
    if there.state == "running":
        raise FoldError(f"{place.title} is being trained by another process now. Wait for it, or end it.")
    begins, validates = _beginning(settings, config, there, ready, asked, continue_training=continue_training)
    is_kept = there.finished is not None and not asked.retrain and ready.dataset is not None
    left = 0 if is_kept or options.validation_only else _epochs_left(settings, config, there, retrain=asked.retrain)
    dataset = project.dataset_or_default(config.dataset)
    steps = _preparation(ready, dataset, config)
    if not is_kept or validates:
        steps += [begins, _validation(fold)]
    free = next(folder for folder in (place.folder, *place.folder.parents) if folder.exists())
    return DryRun(
        title=place.title,
        steps=tuple(steps),
        device=_device_in_words(device, settings, options.num_gpus),
        epochs_left=left,
        seconds=_seconds(place, left),
        disk_bytes=needed_checkpoint_bytes(place.folder, options.n_kept_checkpoints) or None,
        free_bytes=shutil.disk_usage(free).free,
        folder=place.folder,
        preprocessed=settings.roots.preprocessed / config.dataset,
        preparation=None if ready.dataset else preparation_work(settings, dataset, config),
    )


def _preparation(ready: Readiness, dataset: DatasetConfig, config: ExperimentConfig) -> list[str]:
    steps = []
    if ready.raw is None:
        steps.append(f"Reading every case of {config.dataset} that has changed since it was last read.")
    if not ready.is_split:
        steps.append(f"Splitting {config.dataset} into {dataset.folds} folds.")
    if ready.dataset is None:
        n_cases = f"its {len(ready.raw.cases)} cases" if ready.raw else "its cases"
        steps.append(
            f"Planning {config.dataset} for {config.plans} and preprocessing {n_cases} for {config.configuration}."
        )
    return steps


def _validation(fold: str) -> str:
    cases = "every case, on which it was trained" if fold == FULL_FOLD else "the fold's validation cases"
    return f"Predicting and scoring {cases}."


def _beginning(
    settings: Settings,
    config: ExperimentConfig,
    there: Fold,
    ready: Readiness,
    asked: AskedNow,
    *,
    continue_training: bool,
) -> tuple[str, bool]:
    """Returns what becomes of the fold that is there, and whether a finished one is validated again."""
    if ready.dataset is None or not ready.is_split:
        known = "Training from the beginning."
        if there.state != "absent" and not asked.retrain:
            known = "Going on with what is there, if it is of the data that is prepared then; else it is refused."
        return known, False
    check_fold(ready.dataset, config.identity, there.place.fold)
    request = fold_request(settings, config, there.place.fold, asked, dataset=ready.dataset)
    point = starting_point(there, request, retrain=asked.retrain, continue_training=continue_training)
    n_done = n_saved_epochs(there.place.folder) or 0
    trained = f" {n_done} epochs are trained." if there.state in BEGUN and not asked.retrain else ""
    return point[0].upper() + point[1:] + trained, is_to_validate(there, request)


def _epochs_left(settings: Settings, config: ExperimentConfig, there: Fold, *, retrain: bool) -> int | None:
    """Returns how many epochs are to be trained; None: the trainer alone knows how many there are."""
    n = config.variant.overrides().get("num_epochs") if config.variant else None
    for record in read_records(journal_path(there.place.folder)):
        if record.kind == "start" and n is None:
            n = record.values.get("params", {}).get("trainer", {}).get("num_epochs")
    if n is None and config.trainer == DEFAULT_TRAINER:
        n = NNUNET_EPOCHS
    n_done = n_saved_epochs(there.place.folder) or 0 if there.state in BEGUN and not retrain else 0
    if not n_done and config.continued:
        n_done = n_saved_epochs(config.continued.fold_folder(settings.roots, there.place.fold)) or 0
    return None if n is None else max(0, n - n_done)


def _seconds(place: FoldPlace, epochs_left: int | None) -> float | None:
    """Returns how long that many epochs and the validation may take; None: nothing says it."""
    own, others = _last_epoch_seconds(place.folder), [manifest for _, manifest in finished_siblings(place.folder)]
    # A fold that trains now says it too.
    of_others = map(_last_epoch_seconds, sorted(place.model_folder.glob("fold_*")))
    epochs = [own] if own else [seconds for seconds in of_others if seconds]
    if not epochs or epochs_left is None:
        return None
    validations = [one.seconds["validation"] for one in others if "validation" in one.seconds]
    if not validations and (work := ValidationWork.read(place.folder)):
        validations = [work.seconds(max(epochs), None) or 0.0]
    return max(epochs) * epochs_left + max(validations, default=0.0)


def _last_epoch_seconds(fold_folder: Path) -> float | None:
    seconds = [record.values.get("epoch_seconds") for record in read_records(journal_path(fold_folder))]
    return next((one for one in reversed(seconds) if one), None)


def _device_in_words(device: str, settings: Settings, n_gpus: int) -> str:
    if device in ("cpu", "mps"):
        return device
    variables = settings.child_environment()
    names = gpu_models(variables)
    found = [names.get(gpu.uuid, "a GPU") for gpu in usable_gpus(variables)]
    if not found:
        return "cuda" if device == "cuda" else "a GPU where torch finds one, else the CPU; `nvidia-smi` names none"
    return f"{n_gpus} of these as they are free: {', '.join(found)}"
