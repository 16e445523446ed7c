"""The trained folds that belong to a dataset's split, whoever made them: what a change of the split would cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from nnunet_assets.core.files.json_file import UNREADABLE, load_json
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import (
    FULL_FOLD,
    OWN_FOLDER,
    REQUEST_FILE,
    SUMMARY_FOLDER,
    Roots,
    job_lock_of,
    lock_of,
)
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.processes.fold_lock import acquire


@dataclass(frozen=True)
class TrainedFold:
    """A fold that was trained, or whose training was begun.

    Attributes:
        experiment: Variant, where it has one, and nnU-Net's folder: `short / nnUNetTrainer__nnUNetPlans__2d`.
        fold: `fold_0` ...
        splits_hash: Digest of the split that it was trained on; None: unknown, since it was trained elsewhere, or what
            it was told cannot be read.
        seconds: Wall time of training and validation; None where it is not finished, or was trained elsewhere.
        raw_hash: Digest of the raw data that it was trained on; None: unknown.
    """

    experiment: str
    fold: str
    splits_hash: str | None
    seconds: float | None
    raw_hash: str | None = None


def trained_folds(roots: Roots, dataset: str) -> list[TrainedFold]:
    """Returns every fold of the dataset in nnU-Net's results, of all variants, declared or not, in order.

    A model on every case knows no split and is not among them, nor are superseded folds.
    """
    return [trained for title, model in _models(roots, dataset) for trained in _folds_of(model, title)]


def running_folds(roots: Roots, dataset: str) -> list[str]:
    """Returns the folds of the dataset that some process trains now, here or in a job: `nnUNetTrainer__..., fold_0`.

    Raises:
        FoldError: A lock is another user's.
    """
    return [
        f"{title}, {fold}"
        for title, model in _models(roots, dataset)
        # `fold_0.lock`, `fold_0.job.lock`
        for fold in sorted({lock.name.partition(".")[0] for lock in (model / SUMMARY_FOLDER).glob("fold_*.lock")})
        if fold != FULL_FOLD and is_running(model, fold)
    ]


def _models(roots: Roots, dataset: str) -> Iterator[tuple[str, Path]]:
    """Yields title and folder of every model of the dataset, of all variants."""
    variants = [folder.name for folder in sorted((roots.results / "variants").glob("*"))]
    for variant in (None, *variants):
        for model in sorted((roots.for_variant(variant).results / dataset).glob("*__*__*")):
            yield " / ".join(filter(None, (variant, model.name))), model


def is_running(model: Path, fold: str) -> bool:
    """Says whether some process holds a fold's lease, or a job's.

    Args:
        model: nnU-Net's folder of the model.
        fold: `fold_0` ...

    Raises:
        FoldError: The lock is another user's.
    """
    locks = (lock_of(model / fold), job_lock_of(model / fold))
    return any(lock.exists() and _is_held(lock) for lock in locks)


def _is_held(path: Path) -> bool:
    lock = kernel_lock(path, timeout=0)
    try:
        acquire(lock)
    except Timeout:
        return True
    lock.release()
    return False


def _folds_of(model: Path, experiment: str) -> Iterator[TrainedFold]:
    for folder in sorted(model.glob("fold_*")):
        if folder.name == FULL_FOLD:
            continue
        try:
            inputs = load_json(folder / OWN_FOLDER / REQUEST_FILE)["inputs"]
        except FileNotFoundError:
            if any(folder.glob("checkpoint_*.pth")):
                yield TrainedFold(experiment, folder.name, None, None)
            continue
        except UNREADABLE:  # another user's, or torn
            yield TrainedFold(experiment, folder.name, None, None)
            continue
        manifest = read_committed(folder)
        seconds = sum(manifest.seconds.values()) if manifest else None
        yield TrainedFold(experiment, folder.name, inputs["splits_hash"], seconds, inputs.get("raw_hash"))


def cost_sentence(folds: Sequence[TrainedFold]) -> str:
    """Names the folds by experiment and how long they took: `5 trained folds belong to it (37.2 hours): ...`."""
    by_experiment: dict[str, list[TrainedFold]] = {}
    for fold in folds:
        by_experiment.setdefault(fold.experiment, []).append(fold)
    known = [fold.seconds for fold in folds if fold.seconds is not None]
    hours = f"{sum(known) / 3600:.1f} hours" + (f" for {len(known)} of them" if len(known) < len(folds) else "")
    count = "1 trained fold belongs" if len(folds) == 1 else f"{len(folds)} trained folds belong"
    names = "; ".join(f"{name}: {', '.join(fold.fold for fold in some)}" for name, some in by_experiment.items())
    return f"{count} to it ({hours if known else 'hours unknown'}): {names}."
