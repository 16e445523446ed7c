"""Folds that something else trained, taken in with what their files prove, and no more.

A finished fold of plain nnU-Net proves which plans, trainer and configuration made it, its curves (the checkpoint holds
both) and its scores (`validation/summary.json`). Nothing in it proves which raw data and splits it was trained on, nor
which of its checkpoints was validated: these are unknown, and stay so. What nnU-Net wrote is not touched; journal,
manifest and COMMIT go into the hidden folder, as those of a fold that was trained here.

The checkpoint is a pickle from elsewhere, and is read without running the code that it may carry. That needs torch:
`python -m nnunet_assets.nnunet.adoption.adoption FOLD` does it in a process of its own, whose exit code 1 comes with
a sentence.
"""

import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import resolved
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import FULL_FOLD, OWN_FOLDER, REQUEST_FILE, Experiment, FoldPlace, fold_index
from nnunet_assets.core.files.regular_file import read_regular
from nnunet_assets.core.fold.commit import (
    FINAL_CHECKPOINT,
    MANIFEST_FILE,
    RESULT_FILES,
    UNKNOWN,
    FinishedFold,
    FoldInputs,
    Manifest,
    commit_fold,
)
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.journal import Record, journal_path, read_records, write_records
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, scores_digest
from nnunet_assets.errors import FoldError, NnunetAssetsError, SummaryError
from nnunet_assets.nnunet.adoption.checkpoint_form import BY_LABEL
from nnunet_assets.nnunet.adoption.foreign_files import (
    is_of_several_processes,
    proved_settings,
)
from nnunet_assets.nnunet.adoption.foreign_fold import ForeignFold, read_foreign_fold
from nnunet_assets.nnunet.results.results_folder import experiment_of
from nnunet_assets.nnunet.trainer.trainer import evaluated_labels
from nnunet_assets.nnunet.training.validation_series import series_of
from nnunet_assets.nnunet.watching.epoch_logger import CLASS_PREFIX, END, SERIES, START, EpochLogger
from nnunet_assets.settings import trusted_code

ATTEMPT_PREFIX = "adopted-"


@dataclass(frozen=True)
class Adopted:
    """A fold that was taken in.

    Attributes:
        experiment: What it is of.
        finished: As it was read last.
        is_new: False where it was adopted before, and has not changed since.
    """

    experiment: Experiment
    finished: FinishedFold
    is_new: bool

    @property
    def folder(self) -> Path:
        """nnU-Net's `fold_k`."""
        return self.finished.folder

    @property
    def manifest(self) -> Manifest:
        """What is known of it."""
        return self.finished.manifest


def adopt_fold(fold_folder: Path, trusted: Container[str] = ()) -> Adopted:
    """Takes a finished fold in, and returns what is known of it; the same fold again changes nothing.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        trusted: What its plans may name beside nnU-Net's own code (`settings.trusted_code`).

    Raises:
        FoldError: The fold is not finished, this project is training it or has trained it, its files contradict each
            other or belong elsewhere, its checkpoint holds more than a checkpoint, or its folder cannot be written.
        ForeignCodeError: Its plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        SummaryError: Its scores are torn, or those of another dataset.
    """
    fold_folder = fold_folder.absolute()
    try:
        return _taken_in(fold_folder, trusted)
    except OSError as error:
        raise FoldError(
            f"{fold_folder} cannot be adopted: {error.filename or fold_folder}: {error.strerror}. Its files must be "
            f"readable, and the folder {OWN_FOLDER} in it writable: correct that, or copy the fold, and adopt again."
        ) from error


def adopted_before(fold_folder: Path) -> Adopted:
    """Returns what is known of a fold that is adopted; reads no checkpoint.

    Raises:
        FoldError: It is not adopted.
    """
    known = FinishedFold.read(fold_folder)
    if known is None or not known.manifest.is_adopted:
        raise FoldError(f"{fold_folder} is not adopted. `nnunet-assets adopt {fold_folder}` takes it in.")
    return Adopted(_experiment(fold_folder), known, is_new=False)


def _taken_in(fold_folder: Path, trusted: Container[str]) -> Adopted:
    experiment = _experiment(fold_folder)
    there = Fold.read(FoldPlace(experiment, fold_folder.name, fold_folder), check_files=True)
    known = there.finished
    if known and there.state == "adopted" and known.manifest.scores is not None:
        return Adopted(experiment, known, is_new=False)
    if known is None or there.state != "adopted":
        _check_state(there)
        return _commit(read_foreign_fold(fold_folder, experiment, trusted), fold_folder)
    # A version before took it in, which read less of what its files prove.
    try:
        found = read_foreign_fold(fold_folder, experiment, trusted)
    except (FoldError, SummaryError):
        return Adopted(experiment, known, is_new=False)
    if _is_as_recorded(fold_folder, _manifest(fold_folder, found)) and any(read_records(journal_path(fold_folder))):
        return Adopted(experiment, known, is_new=False)
    return _commit(found, fold_folder)


def _commit(found: ForeignFold, fold_folder: Path) -> Adopted:
    """Writes the journal and, last of all, what makes the fold a finished one."""
    manifest = _manifest(fold_folder, found)
    records = _journal(fold_folder, found, manifest)
    if records is not None:
        write_records(journal_path(fold_folder), records)
    commit_fold(fold_folder, manifest)
    finished = FinishedFold.read(fold_folder)
    if finished is None:
        raise FoldError(f"{fold_folder} was changed while it was adopted. Adopt it again.")
    return Adopted(found.experiment, finished, is_new=True)


def _is_as_recorded(fold_folder: Path, manifest: Manifest) -> bool:
    """Says whether the manifest that is there says the same of inputs, settings and cases."""
    recorded = load_json(fold_folder / OWN_FOLDER / MANIFEST_FILE)
    same = [name for name in ("settings", "validation_cases") if recorded["details"][name] == manifest.details[name]]
    return len(same) == 2 and recorded["inputs"] == asdict(manifest.inputs)


def _experiment(fold_folder: Path) -> Experiment:
    experiment = experiment_of(fold_folder.parent)
    if experiment is None:
        raise FoldError(
            f"{fold_folder} is not where nnU-Net keeps a fold: DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION/fold_k. "
            "Name the results folder, or one of its models."
        )
    if fold_folder.name == FULL_FOLD:
        raise FoldError(
            f"{fold_folder} is a model on every case, which is scored on the cases that it was trained on: it has no "
            "Dice to summarize, and is not adopted."
        )
    fold_index(fold_folder.name)
    return experiment


def _check_state(fold: Fold) -> None:
    """Refuses what this project made, and what is not finished."""
    state, fold_folder = fold.state, fold.place.folder
    if (fold.place.own / REQUEST_FILE).exists() or state == "finished":
        raise FoldError(f"{fold_folder} was trained by this project ({state}), so that there is nothing to adopt.")
    if state == "changed" and not _was_adopted(fold_folder):
        raise FoldError(
            f"{fold_folder} was finished by this project and changed outside it. Restore it, or train it with "
            "`retrain: true`, which keeps it among the superseded folds."
        )
    missing = [name for name in RESULT_FILES if not (fold_folder / name).is_file()]
    if missing:
        raise FoldError(
            f"{fold_folder} is not finished: {' and '.join(missing)} missing. Let nnU-Net train and validate it to its "
            "end (nnUNetv2_train --c, or --val), then adopt it."
        )


def _was_adopted(fold_folder: Path) -> bool:
    try:
        return Manifest.from_json(load_json(fold_folder / OWN_FOLDER / MANIFEST_FILE)).is_adopted
    except (OSError, ValueError):
        return False


def _journal(fold_folder: Path, found: ForeignFold, manifest: Manifest) -> list[Record] | None:
    """Returns the journal of an adopted fold; None: the one that is there says all.

    A tracked trainer may have written it while it trained; then its MLflow run is that of the same attempt, and only
    the scores are those that the fold has now.
    """
    there = list(read_records(journal_path(fold_folder)))
    ends = [record for record in there if record.kind == "end"]
    if not there or str(there[0].values.get("attempt", "")).startswith(ATTEMPT_PREFIX):
        return list(_records(found, manifest, after_ms=max((record.time_ms for record in ends), default=0)))
    end = _end(found, after_ms=there[-1].time_ms)
    if ends and ends[-1].values == end.values:
        return None
    return [*(record for record in there if record.kind != "end"), end]


def _manifest(fold_folder: Path, found: ForeignFold) -> Manifest:
    files = {name: file_sha256(fold_folder / name) for name in RESULT_FILES}
    settings = proved_settings(found.debug)
    epochs = _epochs(found)
    device = found.debug.get("gpu_name") or found.debug.get("device", UNKNOWN).partition(":")[0]
    return Manifest(
        fold=found.fold,
        inputs=FoldInputs(
            raw_hash=UNKNOWN,
            plans_hash=json_sha256(found.plans),
            splits_hash=UNKNOWN,
            training_hash=json_sha256({"adopted": asdict(found.experiment), **settings}) if settings else UNKNOWN,
        ),
        versions={"torch": found.debug["torch_version"]} if "torch_version" in found.debug else {},
        device=device,
        seconds={"training": round(sum(values.get("epoch_seconds", 0.0) for _, values in epochs), 3)} if epochs else {},
        n_epochs=found.n_epochs,
        peak_memory_bytes={},
        files=files,
        details={
            "adopted": datetime.now(UTC).isoformat(),
            "attempt": f"{ATTEMPT_PREFIX}{files[FINAL_CHECKPOINT][:24]}",
            "experiment": asdict(found.experiment),
            "settings": settings,
            "validation_cases": [case.case_id for case in found.cases],
            "dagster_run_id": None,
            "host": found.debug.get("hostname", UNKNOWN),
            "started": _utc(found.logging.get(START, [])[:1]),
            "ended": _utc([*found.logging.get(START, [])[:1], *found.logging.get(END, [])]),
            "unknown": ["raw data", "splits", "the checkpoint that was validated", "the version of nnU-Net", "seed"],
            "several_gpus": is_of_several_processes(found.debug),
        },
        scores=scores_digest(read_regular(fold_folder / SUMMARY_FILE)),
    )


def _utc(times: Sequence[Any]) -> str:
    """Returns the latest of the times, which is not the last one where the clock was set back between them."""
    return datetime.fromtimestamp(max(map(float, times)), UTC).isoformat() if times else UNKNOWN


# --- the curves -----------------------------------------------------------------------------------------------------


class _Epochs(EpochLogger):
    """Collects what the checkpoint's own log holds, under the names that a fold trained here has for it."""

    is_live = False

    def __init__(self, label_names: Sequence[str]) -> None:
        super().__init__(label_names)
        self.found: list[tuple[int, Mapping[str, float]]] = []

    def take_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Takes a whole epoch."""
        self.found.append((epoch, values))


def _epochs(found: ForeignFold) -> list[tuple[int, Mapping[str, float]]]:
    """Returns each whole epoch of the checkpoint's log with its values; none where it does not say when they were."""
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    labels = found.description["labels"]
    label_names = evaluated_labels(LabelManager(labels, found.description.get("regions_class_order")), labels)
    collected = _Epochs(label_names)
    keys = [key for key in (START, *SERIES, BY_LABEL, END) if found.logging.get(key)]
    n_whole = min((len(found.logging[key]) for key in keys), default=0) if {START, END} <= set(keys) else 0
    for epoch in range(n_whole):
        for key in keys:
            value = found.logging[key][epoch]
            if key == BY_LABEL:
                for number, label_value in enumerate(value[: len(label_names)], start=1):
                    collected.log(f"{CLASS_PREFIX}{number}", label_value, epoch)
            else:
                collected.log(key, value, epoch)
    return collected.found


def _records(found: ForeignFold, manifest: Manifest, *, after_ms: int) -> Iterator[Record]:
    """Yields the journal that the training would have written here, at the times that it had."""
    epochs = _epochs(found)
    ends = [int(1000 * float(time)) for time in found.logging.get(END, [])]
    begin = int(1000 * float(found.logging[START][0])) if epochs else int(1000 * datetime.now(UTC).timestamp())
    yield Record("start", begin, None, {"attempt": manifest.details["attempt"], "params": _parameters(found, manifest)})
    time_ms = begin
    for epoch, values in epochs:
        time_ms = max(ends[epoch], time_ms + 1)  # the clock may have been set back between two of them
        yield Record("epoch", time_ms, epoch, values)
    yield _end(found, after_ms=max(after_ms, time_ms))


def _end(found: ForeignFold, *, after_ms: int) -> Record:
    """Returns the scores as the end of a journal, at the time at which they were taken in.

    Nothing says when they were made; and MLflow has to take them for later ones than those of an earlier adoption.
    """
    time_ms = max(int(1000 * datetime.now(UTC).timestamp()), after_ms + 1)
    return Record("end", time_ms, None, series_of(found.cases, found.experiment, found.fold))


def _parameters(found: ForeignFold, manifest: Manifest) -> dict[str, Any]:
    # With what it inherits, as nnU-Net trained it.
    configuration = resolved(found.plans["configurations"], "plans").get(found.experiment.configuration, {})
    return {
        "experiment": asdict(found.experiment),
        "fold": found.fold,
        "adopted": True,
        "trainer": dict(manifest.details["settings"]),
        "plans": {key: value for key, value in configuration.items() if key != "architecture"},
        "architecture": configuration.get("architecture", {}),
        "device": {"name": manifest.device},
        "versions": dict(manifest.versions),
    }


if __name__ == "__main__":
    try:
        adopt_fold(Path(sys.argv[1]), trusted_code())
    except NnunetAssetsError as refusal:
        sys.exit(str(refusal))
