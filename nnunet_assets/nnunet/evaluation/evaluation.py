"""Saved predictions against their references, without training again: a table a case and label, and what it comes to.

On disk, in the folder of an evaluation: `cases.parquet` and `cases.csv` (a row a case and label), `labels.csv`, `.md`
and `.tex` (a row a label and metric), `evaluation.json` (policy, definitions, means and problems; written last) and
`kept_cases.jsonl` (what need not be computed again).

A case that cannot be compared is a problem with its sentence; all others are reported.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnunet_assets.core.evaluation.case_metrics import case_metrics
from nnunet_assets.core.evaluation.evaluation import COLUMNS, Evaluation, Problem, score_difference, table_row
from nnunet_assets.core.evaluation.evaluation_files import CSV_FILE, EVALUATION_FILE, PARQUET_FILE
from nnunet_assets.core.evaluation.evaluation_intervals import add_intervals
from nnunet_assets.core.evaluation.label_totals import LabelTotals, Metrics
from nnunet_assets.core.evaluation.metric_policy import MetricPolicy
from nnunet_assets.core.files.atomic_files import remove_unfinished
from nnunet_assets.core.files.kernel_lock import held_alone
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.text.places import Places
from nnunet_assets.core.verification.earlier_result_files import write_keeping_earlier
from nnunet_assets.errors import EvaluationError
from nnunet_assets.nnunet.evaluation.case_pairs import compute_unknown, named, reader_of_cases
from nnunet_assets.nnunet.evaluation.evaluation_cache import KeptCases
from nnunet_assets.nnunet.evaluation.predicted_cases import PredictedCases
from nnunet_assets.nnunet.images.label_image import LabelImage

Row = Mapping[str, str | float | int | None]
WriteTable = Callable[[Iterable[Row], Mapping[str, type], Path, Path], int]
"""Writes the rows to a Parquet and a CSV file: `reports.tables.case_table.write_case_table`."""

WriteLabels = Callable[[Mapping[str, Any], Path], None]
"""Writes what `Evaluation.to_json` returned as tables into a folder; see
`reports.tables.evaluation_tables.write_label_tables`."""


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
        reader = reader_of_cases(found, trusted)
        kept = KeptCases(folder, policy.digest, reader)

        def measure(reference: LabelImage, prediction: LabelImage) -> dict[str, Metrics]:
            metrics = case_metrics(reference.voxels, prediction.voxels, reference.spacing_mm, policy)
            return {name: asdict(one) for name, one in metrics.items()}

        failures, n_computed = compute_unknown(
            found, reader, policy, kept, measure, progress=progress, n_workers=n_workers
        )
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
                f"{named(files)} is left out: it scores {difference}, as nnU-Net wrote into summary.json when the "
                f"fold was validated. {files.prediction}, {files.reference} or that file was changed since. Restore "
                "it, or run the validation of this fold again."
            )
            failures[files.key] = Problem(message, files.fold, files.case)
            continue
        for name in policy.labels:
            totals[name].add(metrics[name])
            yield table_row(files.fold, files.case, name, metrics[name], policy)
