"""The process that trains one fold: `python -m nnunet_assets.nnunet.fold_process FOLDER PARENT_PID`.

It drives nnU-Net by nnU-Net's own functions, in the folder that `nnUNetv2_train` would use, and adds one hidden
folder: `.nnunet_assets/` with request, output, journal, manifest and, last of all, COMMIT. It knows no MLflow; what
Dagster should say, it says through Pipes where it was started through Pipes.
"""

import os
import platform
import resource
import shutil
import socket
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnunet_assets.core.commit import RESULT_FILES, FoldInputs, Manifest, commit_fold
from nnunet_assets.core.cv_summary import summarize
from nnunet_assets.core.exit_codes import ExitCode
from nnunet_assets.core.fold_result import FoldResult, read_case_results
from nnunet_assets.core.journal import append_record, journal_path, read_records, truncate_after_epoch
from nnunet_assets.core.layout import FULL_FOLD, Experiment, fold_index
from nnunet_assets.core.provenance import file_sha256
from nnunet_assets.nnunet.bindings import (
    apply_overrides,
    remove_torn_checkpoints,
    save_checkpoints_atomically,
    stop_when_diverged,
)
from nnunet_assets.nnunet.child import ChildFailure, child_main
from nnunet_assets.nnunet.devices import device_name, resolve_device
from nnunet_assets.nnunet.journal_logger import JournalLogger

FINAL_CHECKPOINT = "checkpoint_final.pth"
PACKAGES = ("nnunet_assets", "nnunetv2", "torch", "numpy", "dynamic_network_architectures", "batchgeneratorsv2")


def train_fold(request: Mapping[str, Any]) -> None:
    """Trains, validates and commits the fold of a request (see `FoldRequest`)."""
    with ExitStack() as stack:
        say = _reporter(stack)
        started = datetime.now(UTC)
        device = resolve_device(request["device"])
        fold_folder = Path(request["fold_folder"])
        remove_torn_checkpoints(fold_folder)
        checkpoint = newest_checkpoint(fold_folder, say)
        trainer = _build_trainer(request, device, is_resumed=checkpoint is not None)
        if checkpoint:
            trainer.load_checkpoint(str(checkpoint))
        is_trained = checkpoint is not None and checkpoint.name == FINAL_CHECKPOINT
        logger = _open_journal(trainer, request, say)
        say(f"{request['fold']} on {device_name(device)}: {_plan_of(trainer, is_trained=is_trained)}")
        if not is_trained:
            trainer.run_training()
        n_lost = logger.close()
        if n_lost:
            say(f"{n_lost} epochs could not be written to the journal; their curves will have gaps.")
        say("Training is done; predicting and scoring the validation cases.")
        validation_start = time.monotonic()
        _validate(trainer)
        seconds = {
            "training": _training_seconds(fold_folder),
            "validation": round(time.monotonic() - validation_start, 3),
        }
        append_record(journal_path(fold_folder), "end", _validation_series(trainer, request))
        commit_fold(fold_folder, _manifest(trainer, request, device, started, seconds))
        say(f"{request['fold']} is finished.")


def newest_checkpoint(fold_folder: Path, say: Callable[[str], None]) -> Path | None:
    """Returns the checkpoint to go on from: the final one, else the newest that can be read; None: there is none.

    nnU-Net itself takes `checkpoint_latest` even where `checkpoint_best` is newer, and fails where its choice is torn.
    """
    others = [fold_folder / name for name in ("checkpoint_latest.pth", "checkpoint_best.pth")]
    newest_first = sorted(filter(Path.is_file, others), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for checkpoint in filter(Path.is_file, [fold_folder / FINAL_CHECKPOINT, *newest_first]):
        if _is_whole(checkpoint):
            return checkpoint
        say(f"{checkpoint.name} is damaged and cannot be used; looking for an older checkpoint.")
    return None


def _is_whole(checkpoint: Path) -> bool:
    """Says whether the checksums in a checkpoint, which is a zip file, hold; torch loads flipped bits as they are."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        return False


def _open_journal(trainer: Any, request: Mapping[str, Any], say: Callable[[str], None]) -> JournalLogger:
    """Cuts the journal back to the epochs that the trainer has and attaches it to the trainer."""
    journal = journal_path(Path(trainer.output_folder))
    truncate_after_epoch(journal, trainer.current_epoch)
    if next(read_records(journal), None) is None:
        append_record(journal, "start", {"attempt": request["attempt"], "params": _parameters(trainer, request)})
    logger = JournalLogger(journal, _label_names(trainer), _progress(trainer, say))
    trainer.logger.loggers.append(logger)
    save_checkpoints_atomically(trainer, wait_for_journal=logger.wait)
    return logger


def _build_trainer(request: Mapping[str, Any], device: Any, *, is_resumed: bool) -> Any:
    from nnunetv2.run.run_training import get_trainer_from_args

    experiment = request["experiment"]
    try:
        trainer = get_trainer_from_args(
            experiment["dataset"],
            experiment["configuration"],
            fold_index(request["fold"]),
            experiment["trainer"],
            experiment["plans"],
            # Tells nnU-Net's own optional logger (Weights & Biases) whether to continue its run.
            continue_training=is_resumed,
            device=device,
        )
    except RuntimeError as error:
        if "Could not find requested nnunet trainer" not in str(error):
            raise
        raise ChildFailure(ExitCode.BAD_INPUT, unknown_trainer(experiment["trainer"])) from error
    if not Path(trainer.output_folder).samefile(request["fold_folder"]):
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"Trainer {experiment['trainer']} writes to {trainer.output_folder}, not to {request['fold_folder']}; a "
            "trainer that renames its folder cannot be tracked.",
        )
    apply_overrides(trainer, request["overrides"])
    stop_when_diverged(trainer)
    return trainer


def unknown_trainer(name: str) -> str:
    """Returns the sentence for a trainer that nnU-Net does not find."""
    return (
        f"nnU-Net has no trainer {name!r}. Trainers are classes below nnunetv2.training.nnUNetTrainer, or in a folder "
        "that the environment variable nnUNet_extTrainer names."
    )


def _plan_of(trainer: Any, *, is_trained: bool) -> str:
    if is_trained:
        return "trained before, only the validation is missing"
    plan = f"{trainer.num_epochs} epochs of {trainer.num_iterations_per_epoch} iterations"
    return f"{plan}, resuming after epoch {trainer.current_epoch}" if trainer.current_epoch else plan


def _validate(trainer: Any) -> None:
    # A prediction left by an earlier attempt would be averaged into summary.json by nnU-Net.
    earlier = Path(trainer.output_folder) / "validation"
    if earlier.exists():
        shutil.rmtree(earlier)
    trainer.perform_actual_validation(False)


def _training_seconds(fold_folder: Path) -> float:
    """Returns the sum over the epochs: an interrupted fold was trained by more than one process."""
    records = read_records(journal_path(fold_folder))
    return round(sum(record.values["epoch_seconds"] for record in records if record.kind == "epoch"), 3)


def _validation_series(trainer: Any, request: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns Dice and IoU of whole validation cases, by the same rules as the summary of all folds."""
    if request["fold"] == FULL_FOLD:  # validated on its own training cases
        return {}
    cases = read_case_results(
        Path(trainer.output_folder),
        trainer.dataset_json["labels"],
        _validation_cases(trainer),
        file_ending=trainer.dataset_json["file_ending"],
    )
    fold = FoldResult(request["fold"], FoldInputs(**request["inputs"]), cases, trainer.current_epoch, {})
    summary = summarize(Experiment(**request["experiment"]), [fold.fold], [fold])
    series = {"val_dice_mean": summary.foreground.dice.pooled.mean, "val_iou_mean": summary.foreground.iou.pooled.mean}
    for name, label in summary.labels.items():
        series |= {f"val_dice/{name}": label.dice.pooled.mean, f"val_iou/{name}": label.iou.pooled.mean}
    return series


def _validation_cases(trainer: Any) -> list[str]:
    return [str(case) for case in trainer.do_split()[1]]


def _label_names(trainer: Any) -> list[str]:
    """Returns the names of what nnU-Net evaluates, in its order."""
    manager = trainer.label_manager
    values = manager.foreground_regions if manager.has_regions else manager.foreground_labels
    names = {_as_tuple(value): name for name, value in trainer.dataset_json["labels"].items()}
    return [names[_as_tuple(value)] for value in values]


def _as_tuple(value: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, list | tuple) else (int(value),)


def _parameters(trainer: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    configuration = trainer.configuration_manager.configuration
    return {
        "experiment": request["experiment"],
        "fold": request["fold"],
        "overrides": request["overrides"],
        "trainer": {
            name: value
            for name, value in vars(trainer).items()
            # Not the paths: parameters go to a tracking server that may stand elsewhere.
            if isinstance(value, bool | int | float | str) and not name.startswith("_") and os.sep not in str(value)
        },
        "plans": {key: value for key, value in configuration.items() if key != "architecture"},
        "architecture": configuration["architecture"],
        "versions": _versions(),
    }


def _progress(trainer: Any, say: Callable[[str], None]) -> Callable[[int, Mapping[str, float]], None]:
    def report(epoch: int, values: Mapping[str, float]) -> None:
        left = values["epoch_seconds"] * (trainer.num_epochs - epoch - 1)
        say(
            f"Epoch {epoch + 1} of {trainer.num_epochs}: train loss {values['train_loss']:.4f}, val loss "
            f"{values['val_loss']:.4f}, pseudo Dice {values['pseudo_dice_mean']:.4f}, "
            f"{values['epoch_seconds']:.1f} s, about {duration(left)} left"
        )

    return report


def duration(seconds: float) -> str:
    """Returns hours, minutes and seconds: `13:05:09`, or `5:09` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _reporter(stack: ExitStack) -> Callable[[str], None]:
    """Returns what tells the run a sentence: Dagster's log where Pipes started this process, else the output."""
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        return lambda sentence: print(sentence, flush=True)
    pipes = stack.enter_context(open_dagster_pipes())
    return pipes.log.info


def _manifest(
    trainer: Any, request: Mapping[str, Any], device: Any, started: datetime, seconds: Mapping[str, float]
) -> Manifest:
    fold_folder = Path(trainer.output_folder)
    return Manifest(
        fold=request["fold"],
        inputs=FoldInputs(**request["inputs"]),
        versions=_versions(),
        device=device_name(device),
        seconds=seconds,
        n_epochs=trainer.current_epoch,
        peak_memory_bytes=_peak_memory(device),
        files={name: file_sha256(fold_folder / name) for name in RESULT_FILES},
        details={
            "attempt": request["attempt"],
            "experiment": request["experiment"],
            "overrides": request["overrides"],
            "validation_cases": _validation_cases(trainer),
            "dagster_run_id": request["dagster_run_id"],
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "started": started.isoformat(),
            "ended": datetime.now(UTC).isoformat(),
        },
    )


def _peak_memory(device: Any) -> dict[str, int]:
    # Linux counts kibibytes, macOS bytes. Children: the largest one of the waited-for workers.
    unit = 1 if platform.system() == "Darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    peak = {"host": own, "largest_worker": workers}
    if device.type == "cuda":
        import torch

        peak["gpu"] = torch.cuda.max_memory_allocated(device)
    return peak


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in PACKAGES}


if __name__ == "__main__":
    child_main(train_fold)
