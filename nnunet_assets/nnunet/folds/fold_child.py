"""The child that trains a fold: on an engine, watched, and started again where a second start can help."""

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from nnunet_assets.core.files.layout import FoldPlace, Roots
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.fold.fold import finished_siblings
from nnunet_assets.core.fold.fold_request import FoldAttempt, FoldRequest
from nnunet_assets.core.fold.journal import n_saved_epochs
from nnunet_assets.core.fold.validation_again import settle_again
from nnunet_assets.core.progress import Progress
from nnunet_assets.engines.engine import Engine, FoldWork
from nnunet_assets.nnunet.folds.fold_watch import EpochLines, Heartbeat, ValidationSteps
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.supervisor import run_with_restarts

FOLD_MODULE = "nnunet_assets.nnunet.training.fold_process"

UNCOUNTED_GPU_BYTES = 1024**3
"""CUDA's context and the holes between torch's blocks."""


def train_in_child(
    request: FoldRequest,
    place: FoldPlace,
    roots: Roots,
    before: FinishedFold | None,
    *,
    environment: Mapping[str, str],
    attempt: str,
    engine: Engine,
    progress: Progress,
) -> tuple[ChildResult, FinishedFold | None]:
    """Runs the fold's process on an engine, again where a restart may help.

    Returns:
        How the process ended, and the fold where it was finished, or validated, by it.

    Args:
        request: What to train.
        place: Of the fold.
        roots: As they are bound for the fold, see `bound_roots`.
        before: The fold as it is finished already; None: it is not, or is trained anew.
        environment: As for `run_fold`.
        attempt: The attempt's id.
        engine: Where it runs.
        progress: As for `run_fold`.
    """
    asked_at = time.monotonic()
    validation, lines = ValidationSteps(place.folder, progress), EpochLines(place.folder, progress)
    folders = roots.for_variant(request.experiment.variant).environment()

    def start(n_halvings: int) -> ChildResult:
        # Made when the process runs: a silence before that is none of its own.
        heartbeat = cache(lambda: Heartbeat(place.folder, progress))

        def poll() -> None:
            heartbeat().look()
            lines.show_new()
            validation.look()
            progress.poll()

        work = FoldWork(
            module=FOLD_MODULE,
            attempt=FoldAttempt(
                **vars(request), fold_folder=place.folder, attempt=attempt, waited_seconds=0.0, meeting_folder=None
            ),
            environment={**environment, **folders},
            n_halvings=n_halvings,
            needed_gpu_bytes=needed_gpu_bytes(place.folder, request.options.num_gpus),
            asked_at=asked_at,
        )
        return engine.run(work, on_poll=poll, progress=progress)

    def finished() -> FinishedFold | None:
        settle_again(place.folder)
        now = FinishedFold.read(place.folder)
        return None if now is None or (before and now.commit == before.commit) else now

    result = run_with_restarts(
        start,
        own_folder=place.own,
        cures=engine.cures,
        is_done=lambda: finished() is not None,
        n_saved=lambda: n_saved_epochs(place.folder) or 0,
        progress=progress,
    )
    return result, finished()


def needed_gpu_bytes(fold_folder: Path, num_gpus: int) -> int | None:
    """Returns what another fold of the model took of a GPU, with room for what torch does not count; None: not known.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        num_gpus: GPUs that the fold trains on. Folds on more or fewer GPUs say nothing: each has a part of the batch.
    """
    peaks = [
        manifest.peak_memory_bytes.get("gpu", 0)
        for _, manifest in finished_siblings(fold_folder)
        if manifest.details.get("options", {}).get("num_gpus", 1) == num_gpus
    ]
    peak = max(peaks, default=0)
    return peak + UNCOUNTED_GPU_BYTES if peak else None
