"""The attempts at a fold: what state its folder is in, the one to go on with, and room for a new one.

A fold's folder is nnU-Net's own. What is put aside for a new attempt lies in `nnunet_assets/superseded/` beside the
folds: nothing that was trained is ever deleted.
"""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import REQUEST_FILE, SUMMARY_FOLDER, FoldPlace
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FoldInputs
from nnunet_assets.core.fold.fold import Fold, State
from nnunet_assets.core.fold.fold_provenance import FoldProvenance
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import journal_path, settled_records
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import FoldError

REFUSED: Mapping[State, str] = {
    "foreign": "holds a training that this project did not make",
    "changed": "was changed outside this project after it was finished: its files are not those of its COMMIT",
}


def changes_since_begun(place: FoldPlace, request: FoldRequest) -> list[str]:
    """Names in what a request differs from the last attempt at a fold, which must have been begun here.

    Of settings with both values, the earlier one first.
    """
    begun_for = _last_request(place)
    begun = FoldProvenance.asked(
        FoldInputs(**begun_for["inputs"]), begun_for.get("overrides") or {}, begun_for.get("options") or {}
    )
    return begun.differences(FoldProvenance.asked(request.inputs, request.overrides, asdict(request.options)))


def is_begun(place: FoldPlace, request: FoldRequest) -> bool:
    """Says whether the fold was begun for the same asker: a run that Dagster retries asks for the same again."""
    try:
        begun_for = _last_request(place)
    except FileNotFoundError:
        return False
    return request.asked_by is not None and begun_for.get("asked_by") == request.asked_by


@contextmanager
def room_for_attempt(fold: Fold, request: FoldRequest, progress: Progress, *, retrain: bool) -> Iterator[str]:
    """Makes room for a new attempt, or keeps an interrupted one to resume; yields the attempt's id.

    What was superseded for an attempt that ends before it begins to train (a device that is not there) is put back; of
    a fold that never began, nothing stays but what its process printed, outside of nnU-Net's folder.
    """
    state, place, fold_folder = fold.state, fold.place, fold.place.folder
    if state in REFUSED and not retrain:
        raise FoldError(
            f"{fold_folder} {REFUSED[state]}. It is never trained again by itself: move it away, or materialize the "
            "fold with `retrain: true`, which keeps it among the superseded folds."
            + (" `nnunet-assets adopt` takes in a finished one." if state == "foreign" else "")
        )
    changed = ""
    if state in {"interrupted", "committed"} and not retrain:
        changed = " and ".join(changes_since_begun(place, request))
        if not changed and (state == "interrupted" or (fold_folder / FINAL_CHECKPOINT).is_file()):
            with _nothing_left_of_none(place):
                yield str(_last_request(place)["attempt"])
            return
        if changed and request.options.validation_only:
            raise FoldError(
                f"{fold_folder} was trained with other {changed} than there is now, and only its validation was asked "
                "for. Restore them, or train the fold again."
            )
    superseded = None if state == "absent" else _supersede(fold_folder)
    n_epochs = sum(record.kind == "epoch" for record in settled_records(superseded)) if superseded else 0
    if n_epochs and state == "interrupted" and not retrain:
        progress.warn(
            f"{place.title}: {changed} changed since it was interrupted, so that it is "
            f"trained from the beginning. The {n_epochs} epochs that it has are kept in {superseded}."
        )
    try:
        with nullcontext() if superseded else _nothing_left_of_none(place):
            yield uuid.uuid4().hex
    finally:
        if superseded and not journal_path(fold_folder).exists():
            if fold_folder.exists():
                fold_folder.rename(superseded.with_name(f"{superseded.name}_not_begun"))
            superseded.rename(fold_folder)


@contextmanager
def _nothing_left_of_none(place: FoldPlace) -> Iterator[None]:
    """Leaves no folder of a fold that did not begin: nnU-Net, and a person, would take it for a fold.

    What its process printed is kept beside the folds, the last time only.
    """
    try:
        yield
    finally:
        with suppress(OSError):  # a full disk: why it ended is said without it
            if place.folder.is_dir() and not (journal_path(place.folder).exists() or any(place.folder.glob("*.pth"))):
                kept = not_begun_folder(place)
                shutil.rmtree(kept, ignore_errors=True)
                kept.parent.mkdir(parents=True, exist_ok=True)
                place.folder.rename(kept)


def not_begun_folder(place: FoldPlace) -> Path:
    """Returns where lies what the last attempt left that ended before the fold began."""
    return place.model_folder / SUMMARY_FOLDER / "not_begun" / place.fold


def _last_request(place: FoldPlace) -> dict[str, Any]:
    """Returns what the process of the last attempt was asked for."""
    request: dict[str, Any] = json.loads((place.own / REQUEST_FILE).read_text())
    return request


def _supersede(fold_folder: Path) -> Path:
    # Not beside the folds: nnU-Net takes every folder `fold_*` there for a fold.
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    place = fold_folder.parent / SUMMARY_FOLDER / "superseded" / f"{fold_folder.name}_{stamp}"
    place.parent.mkdir(parents=True, exist_ok=True)
    fold_folder.rename(place)
    return place
