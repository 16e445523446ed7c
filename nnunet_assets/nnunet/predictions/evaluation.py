"""Saved predictions against their references, without training again: a table a case and label, and what it comes to.

On disk, in the folder of an evaluation: `cases.parquet` and `cases.csv` (a row a case and label), `labels.csv`, `.md`
and `.tex` (a row a label and metric), `evaluation.json` (policy, definitions, means and problems; written last) and
`kept_cases.jsonl` (what need not be computed again).

Threads compute, each a case at a time: what takes the time (unpacking, erosion, the k-d tree) runs in them side by
side, nothing outlives an interrupted evaluation, and no process has to import anything. A case that cannot be compared
is a problem with its sentence; all others are reported.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from nnunet_assets.core.evaluation.case_metrics import case_metrics, unknown_values
from nnunet_assets.core.evaluation.evaluation import COLUMNS, Evaluation, Problem, score_difference, table_row
from nnunet_assets.core.evaluation.evaluation_files import CSV_FILE, EVALUATION_FILE, PARQUET_FILE
from nnunet_assets.core.evaluation.evaluation_intervals import add_intervals
from nnunet_assets.core.evaluation.label_totals import LabelTotals, Metrics
from nnunet_assets.core.evaluation.metric_policy import MetricPolicy
from nnunet_assets.core.files.atomic_files import remove_unfinished
from nnunet_assets.core.files.kernel_lock import held_alone
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.text.places import Places
from nnunet_assets.core.verification.earlier_results import write_keeping_earlier
from nnunet_assets.errors import DatasetError, EvaluationError, first_offenders
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.companion_files import label_companions
from nnunet_assets.nnunet.images.image_reader import dataset_reader
from nnunet_assets.nnunet.images.label_image import ReadLabel, geometry_difference, label_reader, with_known_spacing
from nnunet_assets.nnunet.predictions.evaluation_cache import FilePair, KeptCases, Stat, file_pair, file_stat
from nnunet_assets.nnunet.predictions.predicted_cases import PredictedCase, PredictedCases
from nnunet_assets.processes.workers import usable_cpus

BYTES_A_VOXEL = 24
"""What a case takes at most for each voxel of its image; measured, with labels that fill it."""

Row = Mapping[str, str | float | int | None]
WriteTable = Callable[[Iterable[Row], Mapping[str, type], Path, Path], int]
"""Writes the rows to a Parquet and a CSV file: `reports.tables.case_table.write_case_table`."""

WriteLabels = Callable[[Mapping[str, Any], Path], None]
"""Writes what `Evaluation.to_json` returned as tables into a folder; see
`reports.tables.evaluation_tables.write_label_tables`."""


@dataclass(frozen=True)
class _Computed:
    pair: FilePair
    metrics: Mapping[str, Metrics]
    has_read_voxels: bool


def evaluate_cases(
    found: PredictedCases,
    policy: MetricPolicy,
    folder: Path,
    *,
    write_table: WriteTable,
    write_labels: WriteLabels,
    progress: Progress = LOGGED,
    n_workers: int | None = None,
    places: Places = Places(),  # noqa: B008 - frozen
    trusted: frozenset[str] = frozenset(),
) -> Evaluation:
    """Evaluates the cases, writes the folder's files and returns what they say.

    Memory: the images of as many cases as there are workers, and a few kilobytes a case: digests and 8 bytes a number;
    at the end, when the images are gone, what `add_intervals` takes.

    Args:
        found: The cases.
        policy: What is measured.
        folder: Where the files go, and where those of an earlier evaluation may lie.
        write_table: How the table of cases is written.
        write_labels: How the tables of labels are written.
        progress: Told, from the caller's thread, about each case that was not known yet.
        n_workers: Cases at a time; None: by the processors and the memory of the machine.
        places: Folders whose place is not to be in the files, which are shown to others.
        trusted: As for `image_reader.is_reader`.

    Raises:
        EvaluationError: Another process evaluates into the folder, or it cannot be written.
    """
    with _sole_evaluation(folder):
        remove_unfinished(folder)
        reader = _reader(found, trusted)
        kept = KeptCases(folder, policy.digest, reader)
        failures, n_computed = _compute(found, reader, policy, kept, progress=progress, n_workers=n_workers)
        totals = {name: LabelTotals() for name in policy.labels}
        rows = _rows(found, policy, kept, failures, totals)
        n_rows = write_table(rows, COLUMNS, folder / PARQUET_FILE, folder / CSV_FILE)
        evaluated = [files.case for files in found.cases if files.key not in failures]
        evaluation = Evaluation(
            subject=found.subject,
            policy=policy,
            n_expected=found.n_expected,
            n_evaluated=n_rows // len(policy.labels),
            folds=tuple(found.folds),
            missing_folds=tuple(found.missing_folds),
            labels=totals if found.may_be_pooled else None,
            problems=(*found.problems, *failures.values()),
            bootstrap=add_intervals(totals, evaluated, found.patients) if found.may_be_pooled else None,
            n_computed=n_computed,
        )
        content = evaluation.to_json(places)
        write_labels(content, folder)
        write_keeping_earlier(folder / EVALUATION_FILE, content)
        kept.forget_others({files.key for files in found.cases})
    return evaluation


def _sole_evaluation(folder: Path) -> AbstractContextManager[None]:
    """Keeps a second evaluation out of the folder."""
    refusal = f"Another process evaluates into {folder} at the moment. Wait for it, or end it."
    return held_alone(folder / ".lock", EvaluationError(refusal))


def _reader(found: PredictedCases, trusted: frozenset[str]) -> str:
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


def _compute(
    found: PredictedCases,
    reader: str,
    policy: MetricPolicy,
    kept: KeptCases,
    *,
    progress: Progress,
    n_workers: int | None,
) -> tuple[dict[tuple[str | None, str], Problem], int]:
    """Computes and keeps what is not known; returns the cases that failed, and how many had their voxels read."""
    unknown = [files for files in found.cases if not _is_known(files, kept, reader)]
    failures: dict[tuple[str | None, str], Problem] = {}
    n_read = 0
    if not unknown:
        return failures, n_read
    read = label_reader(reader, found.description.file_ending)
    workers = n_workers or _n_workers(unknown)
    with ThreadPoolExecutor(workers, thread_name_prefix="evaluate_case") as pool:
        # No more than a few wait at a time: what 10,000 cases leave behind would be in memory until the last is done.
        waiting = iter(unknown)
        under_way: dict[Future[_Computed], PredictedCase] = {}
        n_done = 0
        try:
            while True:
                for files in islice(waiting, 2 * workers - len(under_way)):
                    under_way[pool.submit(_evaluate, files, reader, read, policy, kept)] = files
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
                    progress.step("cases evaluated", n_done, len(unknown))
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


def _evaluate(files: PredictedCase, reader: str, read: ReadLabel, policy: MetricPolicy, kept: KeptCases) -> _Computed:
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
    metrics = case_metrics(reference.voxels, prediction.voxels, reference.spacing_mm, policy)
    return _Computed(pair, {name: asdict(found) for name, found in metrics.items()}, has_read_voxels=True)


def _failure(files: PredictedCase, error: Exception) -> Problem:
    if isinstance(error, MemoryError):
        reason = "there is not enough memory for its images. Close other programs and evaluate again."
    elif isinstance(error, OSError):
        reason = f"{error.filename or 'one of its files'} cannot be read: {error.strerror or error}."
    else:
        reason = str(error)
    return Problem(f"{_named(files)} was not evaluated: {reason}", files.fold, files.case)


def _named(files: PredictedCase) -> str:
    return f"Case {files.case!r}" + (f" of {files.fold}" if files.fold else "")


def _rows(
    found: PredictedCases,
    policy: MetricPolicy,
    kept: KeptCases,
    failures: dict[tuple[str | None, str], Problem],
    totals: Mapping[str, LabelTotals],
) -> Iterator[Row]:
    """Yields the table and counts its numbers into the totals; a case that is not as recorded goes to the failures."""
    for files in found.cases:
        if files.key in failures:
            continue
        metrics = kept.metrics(files.key)
        recorded = found.recorded.get(files.key)
        if recorded and (difference := score_difference(metrics, recorded.scores)):
            message = (
                f"{_named(files)} is left out: it scores {difference}, as nnU-Net wrote into summary.json when the "
                f"fold was validated. {files.prediction}, {files.reference} or that file was changed since. Restore "
                "it, or run the validation of this fold again."
            )
            failures[files.key] = Problem(message, files.fold, files.case)
            continue
        for name in policy.labels:
            totals[name].add(metrics[name])
            yield table_row(files.fold, files.case, name, metrics[name], policy)
