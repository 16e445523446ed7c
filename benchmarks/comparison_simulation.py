"""Whether the test of a shown difference is as good as it says where models also fail; with fixed seeds.

    python benchmarks/comparison_simulation.py

Prints a table in Markdown: in which part of 10,000 cohorts the uncorrected test finds a difference at 0.05, of the
lesion's means and of the foreground's, and in which part the foreground's 95 % interval holds the true difference.
Goal, where both means are equal: 0.04 to 0.06, of the lesion with 10 patients 0.06 at most: six of them have one, and
of fewer than six no p is below 0.05. Rows in which one model fails rarely are shown as they are: of 10 patients nobody
sees a failure that one patient in twenty has. Some minutes on one core. Exit code 1: a goal was missed.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nnunet_assets_tests.comparison_simulations import Model, Rates, rates

N_COHORTS = 10_000
SEED = 20261129
LOWEST, HIGHEST = 0.04, 0.06

FAILING, OFTEN, RARELY = Model(0.1, 0.1), Model(0.2, 0.2), Model(0.05, 0.05)
NULLS = {
    "both fail alike": (FAILING, FAILING),
    "one fails more and is better elsewhere": (Model(0.2, 0.2, 0.9), Model(0.3, 0.3).as_good_as(Model(0.2, 0.2, 0.9))),
}
SKEWED_NULLS = {
    "one fails three times as often, rarely, and is better elsewhere": (
        Model(0.05, 0.05, 0.85),
        Model(0.15, 0.2).as_good_as(Model(0.05, 0.05, 0.85)),
    ),
}
DIFFERENT = {
    "one misses 20 % more and hallucinates in 30 % more": (RARELY, Model(0.25, 0.35)),
    "one scores 0.07 less on lesions": (FAILING, Model(0.1, 0.1, 0.9)),
}
FEW = 10
N_PATIENTS = (FEW, 20, 50, 100)


def main() -> int:
    """Runs every simulation and returns the exit code."""
    start = time.monotonic()
    missed = 0
    print("| truth | models | patients | lesion | foreground | coverage |")
    print("|:--|:--|--:|--:|--:|--:|")
    for truth, kinds in (("equal means", NULLS), ("equal, skewed", SKEWED_NULLS), ("different", DIFFERENT)):
        for name, models in kinds.items():
            for n in N_PATIENTS:
                found = rates(models, n_patients=n, n_cohorts=N_COHORTS, seed=SEED + n)
                print(
                    f"| {truth} | {name} | {n} | {found.lesion:.3f} | {found.foreground:.3f} | {found.coverage:.3f} |",
                    flush=True,
                )
                missed += truth == "equal means" and not _is_reached(found, n)
    print(f"\n{N_COHORTS} cohorts a row, seed {SEED}, {time.monotonic() - start:.0f} s; {missed} goals missed")
    return 1 if missed else 0


def _is_reached(found: Rates, n_patients: int) -> bool:
    lowest = 0.0 if n_patients == FEW else LOWEST
    return LOWEST <= found.foreground <= HIGHEST and lowest <= found.lesion <= HIGHEST


if __name__ == "__main__":
    sys.exit(main())
