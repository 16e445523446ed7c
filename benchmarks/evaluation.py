"""How long an evaluation and a summary take and how much memory: a cohort of generated cases with 5 labels, twice.

    python benchmarks/evaluation.py [--cases 10000] [--size 48] [--workers N] [--folder DIR]

Prints seconds a case, the peak memory of the process beside what it had before, and what a second run costs, which
reads no voxel; then the same of a summary of the cases in five folds, with its confidence intervals. Ends with 1 where
the process took more memory than `--memory`. A few different images stand in for all: each case has a place of its own
in its header, so that no two have the same content.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq

from nnunet_assets.core.evaluation.evaluation_files import PARQUET_FILE
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.summary.intervals import with_intervals
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.validation.case_results import CaseResult, LabelScore
from nnunet_assets.nnunet.evaluation.evaluation import evaluate_cases
from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folders
from nnunet_assets.nnunet.images.nifti import write_nifti
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.reports.tables.evaluation_tables import write_label_tables

N_LABELS = 5
N_PATTERNS = 8
N_FOLDS = 5


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=10_000)
    options.add_argument("--size", type=int, default=48, help="voxels along each axis")
    options.add_argument("--workers", type=int, default=None)
    options.add_argument("--folder", type=Path, default=None, help="kept; default: a temporary one")
    options.add_argument(
        "--memory", type=float, default=1000, help="MB that the process may take at most; 10,000 cases took 504"
    )
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if not (folder / "dataset.json").exists():
            write_cohort(folder, given.cases, given.size)
        for name in ("first run", "second run"):
            measure(name, folder, given.workers)
        measure_summary(folder)
    is_within = peak_bytes() <= given.memory * 1e6
    print(f"peak memory {peak_bytes() / 1e6:.0f} MB, {'within' if is_within else 'MORE THAN'} {given.memory:.0f} MB")
    return 0 if is_within else 1


def write_cohort(folder: Path, n_cases: int, size: int) -> None:
    labels = {"background": 0, **{f"organ_{value}": value for value in range(1, N_LABELS + 1)}}
    (folder / "references").mkdir(parents=True)
    (folder / "predictions").mkdir()
    pairs = [pattern(size, seed) for seed in range(N_PATTERNS)]
    for index in range(n_cases):
        affine = np.diag([0.8, 1.0, 2.5, 1.0])
        affine[0, 3] = index
        for name, voxels in zip(("references", "predictions"), pairs[index % N_PATTERNS], strict=True):
            write_nifti(folder / name / f"case_{index:05d}.nii.gz", nibabel.Nifti1Image(voxels, affine))
    channels = '"channel_names": {"0": "CT"}, "file_ending": ".nii.gz"'
    (folder / "dataset.json").write_text(f'{{{channels}, "labels": {str(labels).replace(chr(39), chr(34))}}}')


def pattern(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a reference of `N_LABELS` ellipsoids and a prediction whose ellipsoids lie and end a little elsewhere."""
    random = np.random.default_rng(seed)
    grid = np.indices((size, size, size), dtype=np.float32)
    images = np.zeros((2, size, size, size), np.uint8)
    for value in range(1, N_LABELS + 1):
        center, radii = random.uniform(0.25, 0.75, 3) * size, random.uniform(0.1, 0.2, 3) * size
        for image in images:
            moved, grown = center + random.normal(0, 0.01 * size, 3), radii * random.uniform(0.9, 1.1)
            distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, moved, grown, strict=True))
            image[distance <= 1] = value
    return images[0], images[1]


def measure(name: str, folder: Path, n_workers: int | None) -> None:
    before = peak_bytes()
    start, processor = time.perf_counter(), time.process_time()
    found = cases_of_folders(folder / "predictions", folder / "references", folder / "dataset.json")
    evaluation = evaluate_cases(
        found,
        metric_policy(found.description),
        folder / "out",
        write_table=write_case_table,
        write_labels=write_label_tables,
        n_workers=n_workers,
    )
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    assert not evaluation.problems
    assert evaluation.n_evaluated == evaluation.n_expected
    print(
        f"{name}: {evaluation.n_evaluated} cases x {N_LABELS} labels in {seconds:.1f} s, "
        f"{1000 * seconds / evaluation.n_evaluated:.1f} ms a case ({processor:.1f} s of processor time), "
        f"{evaluation.n_computed} computed; peak memory {peak_bytes() / 1e6:.0f} MB, {before / 1e6:.0f} MB before"
    )


def measure_summary(folder: Path) -> None:
    """Summarizes the scores that were evaluated, as five folds."""
    before = peak_bytes()
    cases: dict[str, dict[str, LabelScore]] = {}
    for row in pq.read_table(folder / "out" / PARQUET_FILE, columns=["case", "label", "dice", "iou"]).to_pylist():
        cases.setdefault(row["case"], {})[row["label"]] = LabelScore(row["dice"], row["iou"])
    results = [CaseResult(case, scores) for case, scores in cases.items()]
    inputs = FoldInputs("raw", "plans", "splits", "training")
    keys = [f"fold_{index}" for index in range(N_FOLDS)]
    folds = [ScoredFold(key, inputs, tuple(results[n::N_FOLDS]), 1, {}) for n, key in enumerate(keys)]
    start = time.perf_counter()
    summary = with_intervals(summarize(Experiment("Dataset001_Many", "3d_fullres"), keys, folds), None)
    seconds = time.perf_counter() - start
    assert summary.foreground.dice.pooled.interval
    print(
        f"summary: {summary.n_cases} cases x {N_LABELS} labels in {seconds:.1f} s, with intervals; "
        f"peak memory {peak_bytes() / 1e6:.0f} MB, {before / 1e6:.0f} MB before"
    )


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
