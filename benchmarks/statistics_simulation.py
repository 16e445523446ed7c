"""Whether intervals of means are as good as they say: cohorts of known truth, with fixed seeds.

    python benchmarks/statistics_simulation.py

Prints for each kind of cohort in which part of 10,000 the 95 % confidence interval holds the truth (goal: 0.93 to 0.97,
with 30 patients and more). Some minutes on one core. Exit code 1: a goal was missed. `comparison_simulation.py` has
the tests of differences.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nnunet_assets.core.resampling import N_RESAMPLES
from nnunet_assets_tests.simulations import COHORTS, coverage

N_SIMULATIONS = 10_000
SEED = 20261121


def main() -> int:
    """Runs every simulation and returns the exit code."""
    start = time.monotonic()
    found = coverages()
    print(f"{N_SIMULATIONS} simulations each, seed {SEED}, {time.monotonic() - start:.0f} s")
    return 0 if all(found) else 1


def coverages() -> list[bool]:
    """Draws cohorts of known truth."""
    return [
        shown(
            f"coverage of 95 % intervals, {name}, {n} patients",
            coverage(name, n_patients=n, n_cohorts=N_SIMULATIONS, n_resamples=resamples_of(name), seed=SEED),
            0.93,
            0.97,
        )
        for n in (30, 100)
        for name in COHORTS
    ]


def resamples_of(name: str) -> int:
    """Returns how often to draw: where each cohort has cases of its own, the draws cannot be shared and take long."""
    return 1999 if name == "clustered" else N_RESAMPLES


def shown(what: str, rate: float, low: float, high: float) -> bool:
    """Prints a rate with its goal and returns whether it is reached."""
    is_reached = low <= rate <= high
    print(f"{what}: {rate:.4f} (goal {low} to {high}){'' if is_reached else '  MISSED'}", flush=True)
    return is_reached


if __name__ == "__main__":
    sys.exit(main())
