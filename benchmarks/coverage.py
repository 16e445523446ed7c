"""How often the 95 % intervals that are shown hold the truth, for cohorts of known truth of many kinds and sizes.

    python benchmarks/coverage.py [--cohorts 3000] [--student]

Prints the tables of `docs/intervals.md`: by kind of cohort and number of patients the part of the cohorts whose
interval holds the mean of the population, of those that have one, and how wide it is; a dash where none is shown. With
`--student` the same of Student's interval, which is shown nowhere else. Some minutes on one core. Exit code 1: where an
interval is shown it holds the mean in less than 94 %.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nnunet_assets_tests.cohorts import KINDS, coverage, truth_of

SIZES = (6, 10, 15, 30, 50, 60, 100)
N_RESAMPLES = 1999
SEED = 20261129
GOAL = 0.94
AT_ONCE = 500
STUDENT_KINDS = ("normal", "wide", "failing_10th", "failing_third")
STUDENT_SIZES = (6, 10, 15, 30, 50, 100)


def main() -> int:
    """Prints the table and returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cohorts", type=int, default=3000)
    parser.add_argument("--student", action="store_true")
    arguments = parser.parse_args()
    n_cohorts = arguments.cohorts
    if arguments.student:
        return print_student(n_cohorts)
    start, missed = time.monotonic(), []
    print(f"| scores | {' | '.join(f'n = {n}' for n in SIZES)} |")
    print(f"| :-- | {' | '.join('--:' for _ in SIZES)} |")
    for name, kind in KINDS.items():
        cells = []
        for n_patients in SIZES:
            held, width = measured(name, n_patients, n_cohorts)
            cells.append("–" if math.isnan(held) else f"{100 * held:.1f} % ({width:.3g})")
            if held < GOAL:
                missed.append(f"{name}, {n_patients} patients: {held:.4f}")
        print(f"| {kind.describes} | {' | '.join(cells)} |", flush=True)
    print(f"\n{n_cohorts} cohorts each, {N_RESAMPLES} resamples, seed {SEED}, {time.monotonic() - start:.0f} s")
    for one in missed:
        print(f"below {GOAL}: {one}")
    return 1 if missed else 0


def print_student(n_cohorts: int) -> int:
    """Prints how often Student's interval holds the truth, where no score is undefined and each patient has a case."""
    from scipy.special import stdtrit

    print(f"| scores | {' | '.join(f'n = {n}' for n in STUDENT_SIZES)} |")
    print(f"| :-- | {' | '.join('--:' for _ in STUDENT_SIZES)} |")
    for name in STUDENT_KINDS:
        cells = []
        for n in STUDENT_SIZES:
            values = KINDS[name].draw(np.random.default_rng(SEED + n), np.arange(n), n_cohorts)[:, :, 0]
            half = -stdtrit(n - 1, 0.025) * values.std(axis=0, ddof=1) / math.sqrt(n)
            held = np.mean(np.abs(values.mean(axis=0) - truth_of(KINDS[name])) <= half)
            cells.append(f"{100 * held:.1f} % ({2 * half.mean():.3f})")
        print(f"| {KINDS[name].describes} | {' | '.join(cells)} |", flush=True)
    print(f"\n{n_cohorts} cohorts each, seed {SEED}")
    return 0


def measured(name: str, n_patients: int, n_cohorts: int) -> tuple[float, float]:
    """Returns the part of the shown intervals that hold the truth and their mean width; NaN where none is shown."""
    parts = [
        coverage(name, n_patients=n_patients, n_cohorts=AT_ONCE, n_resamples=N_RESAMPLES, seed=SEED + part)
        for part in range(n_cohorts // AT_ONCE)
    ]
    shown = sum(part.shown for part in parts if part.shown)
    if not shown:
        return math.nan, math.nan
    held = sum(part.shown * part.held for part in parts if part.shown) / shown
    return held, sum(part.shown * part.width for part in parts if part.shown) / shown


if __name__ == "__main__":
    sys.exit(main())
