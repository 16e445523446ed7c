"""Checkpoints that cannot be lost: how the fold process writes them, and which one it goes on from.

nnU-Net writes straight onto the file, so that a kill or a full disk destroys the good checkpoint of before, and goes on
from whatever lies there. Here a checkpoint is written beside its place, flushed, recorded, and renamed; the one it
replaces is kept until the next. On disk, in `fold_k/.nnunet_assets/`: `checkpoints.json` (for each file name its last
three checkpoints: SHA-256, epoch, random state) and `checkpoint_previous.pth`, until the fold is finished.
"""

import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import fsync_path, write_atomically
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import read_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import BEST_CHECKPOINT, FINAL_CHECKPOINT
from nnunet_assets.core.fold.journal import saved_epochs_path
from nnunet_assets.core.progress import Progress
from nnunet_assets.nnunet.checkpoints.numbered import is_numbered, numbered_checkpoints
from nnunet_assets.nnunet.checkpoints.random_state import random_state
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

FINAL, LATEST, BEST = FINAL_CHECKPOINT, "checkpoint_latest.pth", BEST_CHECKPOINT
PREVIOUS = f"{OWN_FOLDER}/checkpoint_previous.pth"
RECORD = f"{OWN_FOLDER}/checkpoints.json"


def save_checkpoints_safely(
    trainer: NnunetTrainer, fold_folder: Path, *, minutes: float, wait_for_journal: Callable[[], None] = lambda: None
) -> None:
    """Makes the trainer write each checkpoint beside its place and rename it there, and often enough.

    Args:
        trainer: The trainer.
        fold_folder: nnU-Net's `fold_k`.
        minutes: At most so many minutes are lost by a kill, or one epoch where that is longer. A checkpoint of the best
            epoch counts as well as the latest, for it is as good to go on from.
        wait_for_journal: Called before each rename. A fold resumes after the last epoch of its checkpoint: an epoch
            that the journal does not have by then would never get there.
    """
    if trainer.disable_checkpointing:  # what an earlier process saved is not what this one goes on from
        saved_epochs_path(fold_folder).unlink(missing_ok=True)
    else:
        note_saved_epochs(fold_folder, trainer.current_epoch)
    save, end_epoch = trainer.save_checkpoint, trainer.on_epoch_end
    saved_at = ended_at = time.monotonic()

    def save_checkpoint(filename: str) -> None:
        nonlocal saved_at
        place = Path(filename)
        temporary = _temporary(place)
        temporary.unlink(missing_ok=True)  # what a kill left is torn
        try:
            _save(save, temporary)
            if not temporary.exists():  # checkpointing is disabled, or this is not rank 0
                return
            fsync_path(temporary)
            _check_written(temporary)
            wait_for_journal()
            _record(fold_folder, place.name, file_sha256(temporary), epoch=trainer.current_epoch + 1)
            if place.exists():
                place.replace(fold_folder / PREVIOUS)
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_path(place.parent)
        note_saved_epochs(fold_folder, trainer.current_epoch + 1)
        saved_at = time.monotonic()

    def on_epoch_end() -> None:
        nonlocal ended_at
        now = time.monotonic()
        epoch_seconds, ended_at = now - ended_at, now
        save_every = trainer.save_every
        if now + epoch_seconds - saved_at > 60 * minutes:  # the next epoch would end too late
            trainer.save_every = 1
        try:
            end_epoch()
        finally:
            trainer.save_every = save_every

    trainer.save_checkpoint = save_checkpoint
    trainer.on_epoch_end = on_epoch_end


def newest_checkpoint(fold_folder: Path, progress: Progress) -> Path | None:
    """Returns the checkpoint to go on from: the final one, else that of the latest epoch; None: there is none.

    What a kill left half-written is removed, what is damaged is passed over.

    Raises:
        ChildFailure: Another program wrote a checkpoint here since; going on would overwrite its work.
    """
    for torn in fold_folder.glob(_temporary(Path("*")).name):
        torn.unlink()
    if is_own_checkpoint(fold_folder, fold_folder / FINAL):
        return fold_folder / FINAL
    known = _known(fold_folder)
    found = []
    for checkpoint in _present(fold_folder):
        entry = known.get(file_sha256(checkpoint))
        if entry is None and (checkpoint.parent.name == OWN_FOLDER or not _is_whole(checkpoint)):
            progress.say(f"{checkpoint.name} is damaged and cannot be used; looking for an older checkpoint.")
            continue
        if entry is None:
            raise ChildFailure(
                ExitCode.BAD_INPUT,
                f"{checkpoint} was written by another program, such as nnUNetv2_train, after this project began to "
                "train the fold. It is not overwritten: move it away to go on without it, or train the "
                "fold with `retrain: true`, which keeps everything among the superseded folds.",
            )
        found.append((entry["epoch"], checkpoint))
    return max(found, key=lambda candidate: candidate[0])[1] if found else None


def is_own_checkpoint(fold_folder: Path, checkpoint: Path) -> bool:
    """Says whether a checkpoint is there as the fold process wrote it."""
    known = _known(fold_folder)
    return checkpoint.is_file() and file_sha256(checkpoint) in known


def set_odd_best_aside(fold_folder: Path, progress: Progress) -> None:
    """Renames a best checkpoint that is not as the fold process wrote it: nnU-Net's tools would take it as it is.

    A fold's COMMIT says nothing of the best one, which users delete to save space.
    """
    best = fold_folder / BEST
    if best.is_file() and not is_own_checkpoint(fold_folder, best):
        best.replace(best.with_name(f"{BEST}.damaged"))
        progress.say(f"{BEST} is damaged, or was written by another program, and was renamed to {BEST}.damaged.")


def random_state_of(fold_folder: Path, checkpoint: Path) -> Mapping[str, Any] | None:
    """Returns the random state that was recorded with a checkpoint; None: there is none."""
    entry = _known(fold_folder).get(file_sha256(checkpoint), {})
    state: Mapping[str, Any] | None = entry.get("random_state")
    return state


def forget_previous_checkpoint(fold_folder: Path) -> None:
    """Removes what only an interrupted fold needs."""
    (fold_folder / PREVIOUS).unlink(missing_ok=True)


def _present(fold_folder: Path) -> Iterator[Path]:
    # Of the same epoch the best one first: nnU-Net saves the latest before it notes that the epoch was the best.
    yield from filter(Path.is_file, (fold_folder / name for name in (FINAL, BEST, LATEST, PREVIOUS)))
    yield from (file for _, file in numbered_checkpoints(fold_folder))


def _is_whole(checkpoint: Path) -> bool:
    """Says whether the checksums in a checkpoint, which is a zip file, hold; torch loads flipped bits as they are."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except Exception:  # noqa: BLE001 (flipped bits make zipfile raise nearly anything: not implemented, encrypted, zlib)
        return False


def _check_written(checkpoint: Path) -> None:
    """Refuses a checkpoint that torch wrote without an error and that is not whole all the same.

    Its writer takes no notice of a write that fails when the file is closed: where the disk ends within the last bytes,
    the file's directory is cut off. (Torch 2.15: within the last 20; 2.6: 100 and more.)
    """
    import torch

    # A trainer of the user's own may have switched torch's checksums off.
    is_whole = _is_whole if torch.serialization.get_crc32_options() else zipfile.is_zipfile
    if not is_whole(checkpoint):
        raise ChildFailure(ExitCode.NO_SPACE, f"{_no_space(checkpoint.parent)} (What torch wrote is not whole.)")


def _record(fold_folder: Path, name: str, sha256: str, *, epoch: int) -> None:
    """Records a checkpoint that is about to take its place.

    Those stay known that are there until then, be it for a kill in the middle: the one in its place, and the previous.
    """
    record = {known: of for known, of in _read_record(fold_folder).items() if not _is_gone(fold_folder, known)}
    entry = {"sha256": sha256, "epoch": epoch, "random_state": random_state()}
    write_json_atomically(fold_folder / RECORD, {**record, name: [entry, *record.get(name, [])][:3]})


def _is_gone(fold_folder: Path, name: str) -> bool:
    """Says whether a numbered checkpoint was removed for newer ones: what is recorded would grow without end."""
    return is_numbered(name) and not (fold_folder / name).exists()


def note_saved_epochs(fold_folder: Path, n_epochs: int) -> None:
    """Notes how many epochs a checkpoint holds, for whoever sends them on."""
    write_atomically(saved_epochs_path(fold_folder), str(n_epochs).encode())


def _known(fold_folder: Path) -> dict[str, dict[str, Any]]:
    """Returns what is recorded, by SHA-256."""
    return {entry["sha256"]: entry for entries in _read_record(fold_folder).values() for entry in entries}


def _read_record(fold_folder: Path) -> dict[str, list[dict[str, Any]]]:
    return read_json(fold_folder / RECORD) or {}


def _temporary(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


def _save(save: Callable[[str], None], path: Path) -> None:
    try:
        save(str(path))
    except RuntimeError as error:
        # torch's own writer hides the errno of a failed write behind these.
        if not any(text in str(error) for text in ("inline_container", "iostream error")):
            raise
        reason = str(error).splitlines()[0]
        raise ChildFailure(ExitCode.NO_SPACE, f"{_no_space(path.parent)} ({reason})") from error


def _no_space(folder: Path) -> str:
    return (
        f"A checkpoint could not be written to {folder}, most often because no space is left on the disk. The last "
        "checkpoint stands."
    )
