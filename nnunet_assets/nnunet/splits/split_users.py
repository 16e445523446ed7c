"""Who trained on a dataset's split, whichever project asks: several may share one `nnUNet_preprocessed`.

A project sees its own results. Those of another lie in a folder that it does not know, and that may not be there when
the split is to change (a drive that is not mounted). So whoever trains is noted beside the split before it begins.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/split_users/`: `making.lock`, held while a split is changed or a
fold begins on it; `ROOT.json` for each results folder that was used with the dataset, and `ROOT/EXPERIMENT-FOLD.json`
for each fold that was trained on the split. ROOT is what `nnUNet_results/.nnunet_assets/root.json` calls the folder,
wherever it is mounted or moved. Folds of versions that noted nobody are found in the results folders that are noted.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import OTHER_FORM, readable_json, write_json_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import FULL_FOLD, OWN_FOLDER, Experiment, Roots
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.prepared.case_sets import writing
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.splits.trained_folds import TrainedFold, is_running, trained_folds

FOLDER = "split_users"
ROOT_FILE = f"{OWN_FOLDER}/root.json"
"""In nnUNet_results: what names the folder, whatever its path is on another machine."""


@contextmanager
def split_held(prepared: PreparedFolder, progress: Progress) -> Iterator[None]:
    """Holds the dataset's split, for a moment: to change it, or to note a fold that begins on it."""
    folder = prepared.own / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    waits = f"The split of {prepared.dataset} is being looked at by another process; waiting for it."
    with writing(folder, on_wait=lambda: progress.warn(waits)):
        yield


def note_results(prepared: PreparedFolder, results: Path, splits_hash: str | None = None) -> None:
    """Notes a results folder that is used with the dataset; one that cannot be written to will hold no folds.

    Args:
        prepared: The dataset.
        results: nnUNet_results.
        splits_hash: Digest of the split that its project sees now; None: it did not look.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        path = prepared.own / FOLDER / f"{_own_id(prepared, results)}.json"
    except OSError:
        return
    known = readable_json(path)
    content = {"results": str(results.absolute()), "splits_hash": splits_hash or known.get("splits_hash")}
    if known != content:
        write_json_atomically(path, content)


def seen_split(prepared: PreparedFolder) -> str | None:
    """Returns the digest of the split that this project saw last; None: it never looked."""
    noted = readable_json(prepared.own / FOLDER / f"{_known_id(prepared.roots.results)}.json")
    return noted.get("splits_hash")


def note_fold(prepared: PreparedFolder, experiment: Experiment, fold: str, splits_hash: str) -> None:
    """Notes a fold that is about to be trained on the split, or was; a model on every case knows no split."""
    if fold == FULL_FOLD:
        return
    results = prepared.roots.results
    note_results(prepared, results, splits_hash)
    _note(prepared, results, (experiment.variant, experiment.name, fold), splits_hash)


def note_trained(prepared: PreparedFolder) -> None:
    """Notes the folds that are there already, of versions that noted nobody."""
    roots = prepared.roots
    if _known_id(roots.results) is None:  # it cannot be written to
        return
    for trained in trained_folds(roots, prepared.dataset):
        if trained.splits_hash is not None:
            *variant, name = trained.experiment.split(" / ")
            whose = (variant[0] if variant else None, name, trained.fold)
            _note(prepared, roots.results, whose, trained.splits_hash)


def _note(prepared: PreparedFolder, results: Path, whose: tuple[str | None, str, str], splits_hash: str) -> None:
    """Notes a fold, named by variant, nnU-Net's folder of the model, and its own."""
    variant, name, fold = whose
    file = f"{json_sha256([variant, name])[:16]}-{fold}.json"
    path = prepared.own / FOLDER / _root_id(results) / file
    content = {"experiment": name, "variant": variant, "fold": fold, "splits_hash": splits_hash}
    known = readable_json(path)
    if {**known, **content} != known:
        path.parent.mkdir(exist_ok=True)
        write_json_atomically(path, {**content, "begun_at": datetime.now(UTC).isoformat(timespec="seconds")})


def folds_of_others(prepared: PreparedFolder) -> dict[Path, list[TrainedFold]]:
    """Returns the folds that other results folders have of the dataset, or had when they were last seen.

    A folder that is there is looked into; of one that is not, the notes are believed.
    """
    found, roots = {}, prepared.roots
    own = _root_id(roots.results) if roots.results.is_dir() else None
    for noted in sorted((prepared.own / FOLDER).glob("*.json")):
        results = Path(str(readable_json(noted).get("results", "")))
        if noted.stem == own or not results.is_absolute():
            continue
        others = replace(roots, results=results)
        is_there = _known_id(results) == noted.stem
        folds = (
            {(fold.experiment, fold.fold): fold for fold in trained_folds(others, prepared.dataset)} if is_there else {}
        )
        for path in sorted(noted.with_suffix("").glob("*.json")):
            if (fold := _noted_fold(readable_json(path), prepared.dataset, others, is_there=is_there)) is not None:
                folds.setdefault((fold.experiment, fold.fold), fold)
        if folds:
            found[results] = list(folds.values())
    return found


def notes_of(prepared: PreparedFolder, results: Path) -> Path:
    """Returns the file that notes a results folder; whoever deletes it gives up the claim of its folds."""
    noted = (prepared.own / FOLDER).glob("*.json")
    return next(path for path in noted if readable_json(path).get("results") == str(results))


def _noted_fold(content: Any, dataset: str, roots: Roots, *, is_there: bool) -> TrainedFold | None:
    """Returns what a note says; None: the fold is gone, its note is torn, or it never began."""
    try:
        experiment, fold = content["experiment"], str(content["fold"])
        title = " / ".join(filter(None, (content["variant"], experiment)))
        model = roots.for_variant(content["variant"]).results / dataset / experiment
        trained = TrainedFold(title, fold, content["splits_hash"], None)
    except OTHER_FORM:
        return None
    if not (is_there and model.is_dir()):
        return trained  # the drive is not mounted, or the model was moved: believed
    if (model / fold).is_dir():
        return None  # what is trained there now, `trained_folds` says
    try:
        return trained if is_running(model, fold) else None
    except FoldError:  # a lock of another user's: nobody can tell
        return trained


def _own_id(prepared: PreparedFolder, results: Path) -> str:
    """Returns what names a results folder; a copy that was made with the name of another one gets one of its own.

    Else the notes of the two were one, and the folds of the original nobody's.
    """
    known = _root_id(results)
    noted = readable_json(prepared.own / FOLDER / f"{known}.json")
    original = Path(str(noted.get("results", results)))
    if _known_id(original) == known and not (original / ROOT_FILE).samefile(results / ROOT_FILE):
        return _root_id(results, instead_of=known)
    return known


def _root_id(results: Path, *, instead_of: str | None = None) -> str:
    """Returns what names a results folder, which is given one where it has none, or this one."""
    if (known := _known_id(results)) not in (None, instead_of):
        return str(known)
    place = results / ROOT_FILE
    place.parent.mkdir(parents=True, exist_ok=True)
    # Projects that begin with two datasets at once hold no other lock in common.
    with kernel_lock(place.with_suffix(".lock")):
        if (known := _known_id(results)) in (None, instead_of):
            known = uuid.uuid4().hex
            write_json_atomically(place, {"id": known})
    return str(known)


def _known_id(results: Path) -> str | None:
    name = readable_json(results / ROOT_FILE).get("id")
    return name if isinstance(name, str) and name.isalnum() else None
