"""Pairs of label images measured case by case: what of them is known already, and the others read in threads.

Threads compute, each a case at a time: what takes the time (unpacking, erosion, the k-d tree, components) runs in them
side by side, nothing outlives what was interrupted, and no process has to import anything. A case that cannot be
compared is a problem with its sentence.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import psutil

from nnunet_assets.core.evaluation.case_metrics import unknown_values
from nnunet_assets.core.evaluation.evaluation import Problem
from nnunet_assets.core.evaluation.label_totals import Metrics
from nnunet_assets.core.evaluation.metric_policy import MetricPolicy
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import DatasetError, EvaluationError, first_offenders
from nnunet_assets.nnunet.evaluation.evaluation_cache import FilePair, KeptCases, Stat, file_pair, file_stat
from nnunet_assets.nnunet.evaluation.predicted_cases import PredictedCase, PredictedCases
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.companion_files import label_companions
from nnunet_assets.nnunet.images.image_reader import dataset_reader
from nnunet_assets.nnunet.images.label_image import (
    LabelImage,
    ReadLabel,
    geometry_difference,
    label_reader,
    with_known_spacing,
)
from nnunet_assets.processes.workers import usable_cpus

BYTES_A_VOXEL = 24
"""What a case takes at most for each voxel of its image; measured, with labels that fill it."""

Measure = Callable[[LabelImage, LabelImage], Mapping[str, Metrics]]
"""Takes reference and prediction and returns numbers by label name."""


@dataclass(frozen=True)
class _Computed:
    pair: FilePair
    metrics: Mapping[str, Metrics]
    has_read_voxels: bool


def reader_of_cases(found: PredictedCases, trusted: frozenset[str]) -> str:
    """Returns nnU-Net's reader of the cases: that of the model that predicted them, where it is known.

    Raises:
        EvaluationError: There is none.
    """
    example = found.cases[0].reference if found.cases else None
    reader = found.reader or dataset_reader(found.description.raw, example, trusted)
    if reader is None:
        raise EvaluationError(
            f"nnU-Net has no reader for {example or found.description.file_ending}, the first reference: each that "
            "takes files of that ending refuses it. Copy or export it again."
        )
    return reader


def compute_unknown(
    found: PredictedCases,
    reader: str,
    policy: MetricPolicy,
    kept: KeptCases,
    measure: Measure,
    *,
    what: str = "cases evaluated",
    progress: Progress,
    n_workers: int | None = None,
) -> tuple[dict[tuple[str | None, str], Problem], int]:
    """Computes and keeps what is not known; returns the cases that failed, and how many had their voxels read.

    Args:
        found: The cases.
        reader: nnU-Net's, by its name.
        policy: Which values the images may hold.
        kept: What is known; what is computed is added.
        measure: Returns what is kept of a case; called in several threads.
        what: Is counted, as it reads after a number.
        progress: Told, from the caller's thread, about each case that was not known yet.
        n_workers: Cases at a time; None: by the processors and the memory of the machine.
    """
    unknown = [files for files in found.cases if not _is_known(files, kept, reader)]
    failures: dict[tuple[str | None, str], Problem] = {}
    n_read = 0
    if not unknown:
        return failures, n_read
    read = label_reader(reader, found.description.file_ending)
    work = partial(_evaluate, reader=reader, read=read, policy=policy, kept=kept, measure=measure)
    workers = n_workers or _n_workers(unknown)
    with ThreadPoolExecutor(workers, thread_name_prefix="evaluate_case") as pool:
        # No more than a few wait at a time: what 10,000 cases leave behind would be in memory until the last is done.
        waiting = iter(unknown)
        under_way: dict[Future[_Computed], PredictedCase] = {}
        n_done = 0
        try:
            while True:
                for files in islice(waiting, 2 * workers - len(under_way)):
                    under_way[pool.submit(work, files)] = files
                if not under_way:
                    return failures, n_read
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    files = under_way.pop(future)
                    try:
                        computed = future.result()
                    except (EvaluationError, DatasetError, OSError, MemoryError) as error:
                        failures[files.key] = _failure(files, error)
                    else:  # where this cannot be written, no case is to blame
                        kept.add(files.key, computed.pair, computed.metrics)
                        n_read += computed.has_read_voxels
                    n_done += 1
                    progress.step(what, n_done, len(unknown))
        except BaseException:
            # Without this, an interrupt waits until every case that was submitted is computed.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_known(files: PredictedCase, kept: KeptCases, reader: str) -> bool:
    try:
        return kept.is_known(files.key, _stats(files, reader))
    except OSError:  # it went away since; whoever reads it says so
        return False


def _stats(files: PredictedCase, reader: str) -> tuple[Stat, Stat]:
    reference, prediction = (file_stat(path, label_companions(path, reader)) for path in files.both)
    return reference, prediction


def _n_workers(cases: Sequence[PredictedCase]) -> int:
    """Returns how many cases to compute at a time: one a processor, fewer where that many would not fit in memory."""
    largest = max((files.reference for files in cases), key=_size)
    n_workers = min(usable_cpus(), len(cases))
    try:
        needed = math.prod(nifti.read_shape(largest)) * BYTES_A_VOXEL
    except DatasetError:  # another format, or a damaged file, which is reported where it is read
        return n_workers
    return max(1, min(n_workers, psutil.virtual_memory().available // needed))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _evaluate(
    files: PredictedCase, *, reader: str, read: ReadLabel, policy: MetricPolicy, kept: KeptCases, measure: Measure
) -> _Computed:
    beside = label_companions(files.reference, reader), label_companions(files.prediction, reader)
    pair = file_pair(*files.both, beside)
    same = kept.same_content(pair)
    if same is not None:
        return _Computed(pair, same, has_read_voxels=False)
    reference, prediction = with_known_spacing(read(files.reference), read(files.prediction))
    is_same = _stats(files, reader) == pair.stats
    if not is_same or not (pair.is_settled or file_pair(*files.both, beside).sha256 == pair.sha256):
        raise EvaluationError(
            f"{files.prediction} or {files.reference} was changed while it was read. Evaluate again when nothing "
            "writes there any more."
        )
    if difference := geometry_difference(prediction, reference):
        raise EvaluationError(
            f"{files.prediction} has {difference}. It was made for another image, or its header was changed; predict "
            "it again."
        )
    for path, image in ((files.reference, reference), (files.prediction, prediction)):
        if unknown := unknown_values(image.voxels, policy):
            shown = first_offenders([f"{value} ({n} voxel{'s' if n > 1 else ''})" for value, n in unknown.items()])
            raise EvaluationError(
                f"{path} has values that dataset.json does not declare: {shown}; it declares "
                f"{first_offenders(policy.voxel_values)}. Correct the file, or evaluate it with its own dataset.json."
            )
    return _Computed(pair, measure(reference, prediction), has_read_voxels=True)


def _failure(files: PredictedCase, error: Exception) -> Problem:
    if isinstance(error, MemoryError):
        reason = "there is not enough memory for its images. Close other programs and evaluate again."
    elif isinstance(error, OSError):
        reason = f"{error.filename or 'one of its files'} cannot be read: {error.strerror or error}."
    else:
        reason = str(error)
    return Problem(f"{named(files)} was not evaluated: {reason}", files.fold, files.case)


def named(files: PredictedCase) -> str:
    """Returns a case as the first words of a sentence."""
    return f"Case {files.case!r}" + (f" of {files.fold}" if files.fold else "")
