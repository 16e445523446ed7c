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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnunet_assets.core.commit import RESULT_FILES, FoldInputs, Manifest, commit_fold
from nnunet_assets.core.cv_summary import summarize
from nnunet_assets.core.exit_codes import ExitCode
from nnunet_assets.core.fold_result import FoldResult, read_case_results
from nnunet_assets.core.journal import append_record, journal_path, truncate_after_epoch
from nnunet_assets.core.layout import Experiment, fold_index
from nnunet_assets.core.provenance import file_sha256
from nnunet_assets.nnunet.bindings import apply_overrides, save_checkpoints_atomically, stop_when_diverged
from nnunet_assets.nnunet.child import ChildFailure, child_main
from nnunet_assets.nnunet.devices import device_name, resolve_device
from nnunet_assets.nnunet.journal_logger import JournalLogger

PACKAGES = ("nnunet_assets", "nnunetv2", "torch", "numpy", "dynamic_network_architectures", "batchgeneratorsv2")


def train_fold(request: Mapping[str, Any]) -> None:
    """Trains, validates and commits the fold of a request (see `FoldRequest`)."""
    with ExitStack() as stack:
        say = _reporter(stack)
        started = datetime.now(UTC)
        device = resolve_device(request["device"])
        trainer = _build_trainer(request, device)
        fold_folder = Path(trainer.output_folder)
        journal = journal_path(fold_folder)
        stage = _stage(fold_folder)
        _load_checkpoint(trainer, stage)
        truncate_after_epoch(journal, trainer.current_epoch)
        if trainer.current_epoch == 0:
            append_record(journal, "start", {"attempt": request["attempt"], "params": _parameters(trainer, request)})
        logger = JournalLogger(journal, _label_names(trainer), _progress(trainer, say))
        trainer.logger.loggers.append(logger)
        say(f"{request['fold']} on {device_name(device)}: {_plan_of(stage, trainer)}")

        seconds: dict[str, float] = {}
        if stage != "trained":
            with _timed(seconds, "training"):
                trainer.run_training()
        n_lost = logger.close()
        if n_lost:
            say(f"{n_lost} epochs could not be written to the journal; their curves will have gaps.")
        say("Training is done; predicting and scoring the validation cases.")
        with _timed(seconds, "validation"):
            _validate(trainer)
        append_record(journal, "end", _validation_series(trainer, request))
        commit_fold(fold_folder, _manifest(trainer, request, device, started, seconds))
        say(f"{request['fold']} is finished.")


def _build_trainer(request: Mapping[str, Any], device: Any) -> Any:
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
            continue_training=_stage(Path(request["fold_folder"])) != "new",
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
    save_checkpoints_atomically(trainer)
    stop_when_diverged(trainer)
    return trainer


def unknown_trainer(name: str) -> str:
    """Returns the sentence for a trainer that nnU-Net does not find."""
    return (
        f"nnU-Net has no trainer {name!r}. Trainers are classes below nnunetv2.training.nnUNetTrainer, or in a folder "
        "that the environment variable nnUNet_extTrainer names."
    )


def _stage(fold_folder: Path) -> str:
    """Returns how far an earlier attempt came: `new`, `interrupted` (a checkpoint to resume from) or `trained`."""
    if (fold_folder / "checkpoint_final.pth").is_file():
        return "trained"
    names = ("checkpoint_latest.pth", "checkpoint_best.pth")
    return "interrupted" if any((fold_folder / name).is_file() for name in names) else "new"


def _load_checkpoint(trainer: Any, stage: str) -> None:
    from nnunetv2.run.run_training import maybe_load_checkpoint

    maybe_load_checkpoint(trainer, continue_training=stage == "interrupted", validation_only=stage == "trained")


def _plan_of(stage: str, trainer: Any) -> str:
    if stage == "trained":
        return "trained before, only the validation is missing"
    plan = f"{trainer.num_epochs} epochs of {trainer.num_iterations_per_epoch} iterations"
    return plan if stage == "new" else f"{plan}, resuming after epoch {trainer.current_epoch}"


def _validate(trainer: Any) -> None:
    # A prediction left by an earlier attempt would be averaged into summary.json by nnU-Net.
    shutil.rmtree(Path(trainer.output_folder) / "validation", ignore_errors=True)
    trainer.perform_actual_validation(False)


def _validation_series(trainer: Any, request: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns Dice and IoU of whole validation cases, by the same rules as the summary of all folds."""
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
            if isinstance(value, bool | int | float | str) and not name.startswith("_") and "folder" not in name
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


@contextmanager
def _timed(seconds: dict[str, float], section: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[section] = round(time.monotonic() - start, 3)


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
    # Interpreter shutdown would wait for augmentation workers; everything is on the disk.
    os._exit(ExitCode.DONE)
