"""The attempts at a fold: what may be gone on with, under which versions, and room for a new one.

A fold's folder is nnU-Net's own. What is put aside for a new attempt lies in `nnunet_assets/superseded/` beside the
folds: nothing that was trained is ever deleted.
"""

import json
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.layout import REQUEST_FILE, SUMMARY_FOLDER, Experiment, FoldPlace
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FinishedFold, FoldInputs
from nnunet_assets.core.fold.continued_fold import continues_other
from nnunet_assets.core.fold.fold import Fold, State
from nnunet_assets.core.fold.fold_provenance import FoldProvenance
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import journal_path, n_saved_epochs, settled_records
from nnunet_assets.core.fold.version_history import (
    NNUNET,
    Stage,
    changes,
    followed_by,
    is_other_minor,
    read_stages,
    write_stages,
)
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.engines.job_files import open_record
from nnunet_assets.errors import DamagedFileError, FoldError
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.trainer.parameters import package_versions

REFUSED: Mapping[State, str] = {
    "foreign": "holds a training that this project did not make",
    "changed": "was changed outside this project after it was finished: its files are not those of its COMMIT",
}


OTHER_MINOR = (
    "{what}. Another minor version may train otherwise, so that the fold would be of neither. Install the one that "
    f"began it (pip install {NNUNET}=={{was}}) and prepare the data with it; or train the fold anew with retrain, "
    "which keeps what is there; or go on all the same: `--despite-changes`, or `despite_changes: true` in the run's "
    "config. Then both are recorded."
)


def changes_since_begun(place: FoldPlace, request: FoldRequest) -> list[str]:
    """Names in what a request differs from the last attempt at a fold, which must have been begun here.

    Of settings with both values, the earlier one first.

    Raises:
        DamagedFileError: What it was begun with cannot be read.
    """
    begun_for = _last_request(place)
    try:
        inputs = FoldInputs(**begun_for["inputs"])
    except (KeyError, TypeError) as error:
        raise DamagedFileError(
            f"{place.own / REQUEST_FILE} does not say what the fold was begun with ({error}). Restore it, or train the "
            "fold anew with --retrain."
        ) from error
    begun = FoldProvenance.asked(inputs, begun_for.get("overrides") or {}, begun_for.get("options") or {})
    now = FoldProvenance.asked(request.inputs, request.overrides, asdict(request.options))
    return begun.differences(now) + continues_other(begun_for.get("continued"), request.continued)


def is_begun(place: FoldPlace, request: FoldRequest) -> bool:
    """Says whether the fold was begun for the same asker: a run that Dagster retries asks for the same again."""
    try:
        begun_for = _last_request(place)
    except FileNotFoundError:
        return False
    return request.asked_by is not None and begun_for.get("asked_by") == request.asked_by


def check_may_be_trained(fold: Fold, options: TrainingOptions) -> None:
    """Passes where a fold is not there, or may be trained or validated again without the user's word.

    Raises:
        FoldError: What made it is not known well enough: it was made or changed elsewhere, or is adopted and to be
            validated again.
    """
    folder = fold.place.folder
    if fold.state in REFUSED:
        raise FoldError(
            f"{folder} {REFUSED[fold.state]}. It is never trained again by itself: move it away, or train it "
            "anew with `retrain: true` (`--retrain` on the command line), which keeps it among the superseded folds."
            + (" `nnunet-assets adopt` takes in a finished one." if fold.state == "foreign" else "")
        )
    if fold.state == "adopted" and (options.validation_only or options.val_best):
        raise FoldError(
            f"{folder} was trained elsewhere and adopted, so that it is not validated again here. Run "
            "`nnUNetv2_train --val` on it and adopt it anew, or train it with `retrain: true`."
        )


@contextmanager
def room_for_attempt(
    fold: Fold, request: FoldRequest, progress: Progress, *, retrain: bool
) -> Iterator[tuple[str, FinishedFold | None]]:
    """Makes room for a new attempt, or keeps an interrupted one to resume.

    Yields the attempt's id, and the fold where it is finished and stays as it is until it is validated again.

    What was superseded for an attempt that ends before it begins to train (a device that is not there) is put back; of
    a fold that never began, nothing stays but what its process printed, outside of nnU-Net's folder.
    """
    state, place, fold_folder = fold.state, fold.place, fold.place.folder
    changed = ""
    # The fold's lease is the caller's: what runs is a job that is followed.
    if state in {"interrupted", "trained", "finished", "running"} and not retrain:
        changed = " and ".join(changes_since_begun(place, request))
        if not changed and (state != "finished" or (fold_folder / FINAL_CHECKPOINT).is_file()):
            with _nothing_left_of_none(place):
                yield str(_last_request(place).get("attempt") or uuid.uuid4().hex), fold.finished
            return
        if changed and request.options.validation_only:
            raise FoldError(
                f"{fold_folder} was trained with other {changed} than there is now, and only its validation was asked "
                "for. Restore them, or train the fold again."
            )
    superseded = None if state == "absent" else _supersede(fold_folder)
    n_epochs = sum(record.kind == "epoch" for record in settled_records(superseded)) if superseded else 0
    if n_epochs and state in {"interrupted", "trained"} and not retrain:
        progress.warn(
            f"{place.title}: {changed} changed since it was interrupted, so that it is "
            f"trained from the beginning. The {n_epochs} epochs that it has are kept in {superseded}."
        )
    try:
        with nullcontext() if superseded else _nothing_left_of_none(place):
            yield uuid.uuid4().hex, None
    finally:
        # A job that could not be ended goes on where it is.
        if superseded and not journal_path(fold_folder).exists() and not open_record(fold_folder):
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
            is_begun = journal_path(place.folder).exists() or any(place.folder.glob("*.pth"))
            # A job that could not be ended is found by what lies there.
            if place.folder.is_dir() and not (is_begun or open_record(place.folder)):
                kept = not_begun_folder(place)
                shutil.rmtree(kept, ignore_errors=True)
                kept.parent.mkdir(parents=True, exist_ok=True)
                place.folder.rename(kept)


def not_begun_folder(place: FoldPlace) -> Path:
    """Returns where lies what the last attempt left that ended before the fold began."""
    return place.model_folder / SUMMARY_FOLDER / "not_begun" / place.fold


def _last_request(place: FoldPlace) -> dict[str, Any]:
    """Returns what the process of the last attempt was asked for.

    Raises:
        FileNotFoundError: There was no attempt.
        DamagedFileError: It cannot be read.
    """
    file = place.own / REQUEST_FILE
    request = read_json(file)
    if request is None:
        raise FileNotFoundError(file)
    return request


def _supersede(fold_folder: Path) -> Path:
    # Not beside the folds: nnU-Net takes every folder `fold_*` there for a fold.
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    place = fold_folder.parent / SUMMARY_FOLDER / "superseded" / f"{fold_folder.name}_{stamp}"
    place.parent.mkdir(parents=True, exist_ok=True)
    fold_folder.rename(place)
    return place


def check_versions(place: FoldPlace, *, despite_changes: bool, progress: Progress = SILENT) -> list[Stage]:
    """Returns the stages of a fold that may go on under the versions that are installed, and says which are others.

    A fold that is trained to its end has only its validation before it, which is a prediction: it goes on.

    Args:
        place: Of the fold.
        despite_changes: The user's word to go on all the same.
        progress: Is warned of other versions.

    Raises:
        FoldError: Another minor version of nnU-Net began it.
    """
    stages = read_stages(place.folder)
    if not stages or not n_saved_epochs(place.folder):
        return stages
    changed = changes(stages[-1].versions, installed_versions())
    was, now = changed.get(NNUNET, ("", ""))
    if is_other_minor(was, now) and not (despite_changes or (place.folder / FINAL_CHECKPOINT).is_file()):
        what = f"{place.title} was trained so far with {NNUNET} {was}, and {now} is installed"
        raise FoldError(OTHER_MINOR.format(what=what, was=was))
    if changed:
        shown = ", ".join(f"{name} {before}, now {after}" for name, (before, after) in changed.items())
        progress.warn(
            f"{place.title} goes on under other versions than it was trained with so far: {shown}. Both are recorded; "
            "what comes out is not, bit for bit, what either alone would make."
        )
    return stages


def note_stage(place: FoldPlace, dataset: PreparedDataset, stages: Sequence[Stage], *, despite_changes: bool) -> None:
    """Notes which versions go on with the fold after its stages so far, and which made its cases.

    Raises:
        FoldError: Another minor version of nnU-Net made the cases than those that the fold was trained on so far.
    """
    cases = _makers_of_cases(dataset, place.experiment)
    is_trained = (place.folder / FINAL_CHECKPOINT).is_file()
    n_epochs = n_saved_epochs(place.folder) or 0
    before = stages[-1].cases if stages and n_epochs and not is_trained else {}
    other = [name for name, was in before.items() if name in cases and is_other_minor(was, cases[name])]
    if other and not despite_changes:
        was, anew = before[other[0]], cases[other[0]]
        what = f"{place.title} was trained so far on cases that {NNUNET} {was} preprocessed, and {anew} preprocessed "
        raise FoldError(OTHER_MINOR.format(what=f"{what}them anew", was=was))
    now = Stage(n_epochs, "validation" if is_trained else "training", installed_versions(), cases)
    write_stages(place.folder, followed_by(stages, now))


def installed_versions() -> dict[str, str]:
    """Returns package name to version of what the fold's process will load, and Python's own."""
    return {**package_versions(), "python": platform.python_version()}


def _makers_of_cases(dataset: PreparedDataset, experiment: Experiment) -> dict[str, str]:
    makers = {}
    for name in dataset.plans.needed([experiment.configuration]):
        made_from = dataset.case_set(name).ingredients()
        if made_from and NNUNET in made_from.read:
            makers[dataset.plans.cases_folder(name).name] = str(json.loads(made_from.read[NNUNET]))
    return makers
