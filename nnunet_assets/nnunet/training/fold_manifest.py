"""What a fold's process writes down of its training: how long it took, on what, and what came out."""

import platform
import resource
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.clock import steady_seconds
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import load_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import RESULT_FILES, Manifest
from nnunet_assets.core.fold.continued_fold import CONTINUES
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.fold.journal import journal_path, readable_until_epoch
from nnunet_assets.core.fold.version_history import read_stages
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, scores_digest
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.devices import device_name
from nnunet_assets.nnunet.trainer.parameters import package_versions
from nnunet_assets.nnunet.trainer.trainer import validation_cases
from nnunet_assets.nnunet.training.best_weights import restored_epoch
from nnunet_assets.processes.host_name import host_name

if TYPE_CHECKING:
    import torch


def manifest_of(
    trainer: NnunetTrainer,
    request: FoldAttempt,
    device: "torch.device",
    began: tuple[datetime, float],
    *,
    validation_seconds: float,
    scored_in: Path,
    stopped_early: str | None,
) -> Manifest:
    """Returns what is known of a fold that is trained and validated.

    Args:
        trainer: At its end.
        request: What was asked for.
        device: That it was trained on.
        began: When this process began, by the world's clock and by `steady_seconds`.
        validation_seconds: How long the validation took.
        scored_in: Where its scores lie until they are taken over.
        stopped_early: Why the training ended before its last epoch; None: it did not.
    """
    fold_folder = Path(trainer.output_folder)
    started, clock = began
    peak = _peak_memory(fold_folder, device)
    results = {name: (scored_in if name == SUMMARY_FILE else fold_folder) / name for name in RESULT_FILES}
    ended = started + timedelta(seconds=steady_seconds() - clock)  # the clock may have been set since
    return Manifest(
        fold=request.fold,
        inputs=request.inputs,
        versions=package_versions(),
        device=device_name(device),
        seconds={"training": _training_seconds(trainer, _first_epoch(request)), "validation": validation_seconds},
        n_epochs=trainer.current_epoch,
        peak_memory_bytes=peak,
        # Without checkpointing there is no final one.
        files={name: file_sha256(file) for name, file in results.items() if file.is_file()},
        details={
            "attempt": request.attempt,
            "stages": [asdict(stage) for stage in read_stages(fold_folder)],
            "experiment": asdict(request.experiment),
            "overrides": dict(request.overrides),
            "options": asdict(request.options),
            "validation_cases": validation_cases(trainer),
            "dagster_run_id": request.dagster_run_id,
            "host": host_name(),
            "python": platform.python_version(),
            "started": started.isoformat(),
            "ended": ended.isoformat(),
            "stopped_early": stopped_early,
            **_restored(request, fold_folder),
            **({CONTINUES: request.continued.described} if request.continued else {}),
            **({"job": dict(request.job)} if request.job else {}),
        },
        scores=scores_digest(results[SUMMARY_FILE].read_bytes()),
    )


def _restored(request: FoldAttempt, fold_folder: Path) -> dict[str, int]:
    epoch = restored_epoch(fold_folder) if request.options.restore_best else None
    return {} if epoch is None else {"restored_epoch": epoch}


def manifest_again(earlier: Manifest, now: Manifest) -> Manifest | None:
    """Returns the manifest of a fold that was finished already; None: with the same result it is the same fold.

    What was made of it (a summary, a cascade's next stage) stays up to date then. What its training was stays as it is.
    """
    if now.has_same_result(earlier):
        return None
    details = {**now.details, "stopped_early": earlier.details.get("stopped_early"), "validated_on": now.device}
    return replace(now, device=earlier.device, peak_memory_bytes=earlier.peak_memory_bytes, details=details)


def _first_epoch(request: FoldAttempt) -> int:
    """Returns the first epoch of this training; those before are of the one that it continues."""
    return request.continued.n_epochs if request.continued else 0


def _training_seconds(trainer: NnunetTrainer, first: int = 0) -> float:
    """Returns the sum over the epochs from the first on: an interrupted fold was trained by more than one process."""
    # Around damaged lines, which the journal of a fold that is validated again still has.
    records, _ = readable_until_epoch(journal_path(Path(trainer.output_folder)), trainer.current_epoch)
    epochs = (record for record in records if record.epoch is not None and record.epoch >= first)
    return round(sum(record.values.get("epoch_seconds") or 0.0 for record in epochs), 3)


def note_peak_memory(fold_folder: Path, device: "torch.device") -> None:
    """Notes what the training took: another process may do the rest."""
    peak = _peak_memory(fold_folder, device)
    write_json_atomically(_peak_file(fold_folder), peak)


def _peak_memory(fold_folder: Path, device: "torch.device") -> dict[str, int]:
    """Returns the most that this process took or, where that was more, the one that ended the training."""
    # Linux counts kibibytes, macOS bytes. Children: the largest one of the waited-for workers.
    unit = 1 if platform.system() == "Darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    peak = {"host": own, "largest_worker": workers}
    if device.type == "cuda":
        import torch

        peak["gpu"] = torch.cuda.max_memory_allocated(device)
    file = _peak_file(fold_folder)
    of_training = load_json(file) if file.exists() else {}
    return {kind: max(peak.get(kind, 0), of_training.get(kind, 0)) for kind in {**peak, **of_training}}


def _peak_file(fold_folder: Path) -> Path:
    return fold_folder / OWN_FOLDER / "peak_memory.json"
