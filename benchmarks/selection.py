"""How far the number of a selected model is from what that selection is worth, for cohorts of known truth.

    python benchmarks/selection.py [--repeats 400] [--draws 400] [--processes 2] [--quick]

Five folds; 10 candidates that are equal, that rise from one to the next, or of which one is clearly better; 10 equal
models with a postprocessing step each that helps in some cases and harms in as many, or in fewer; 5 equal models with
the ensembles of every two, without and with such steps; 50 and 250 cases; and luck of a training, which all cases of
its fold share, with an SD of 0, 0.005 and 0.01 (what another seed changes). An ensemble shares the luck and the noise
of its members. In each cohort the rule as shipped chooses; the truth is what the chosen candidate scores on average
over cases and trainings.

Prints the mean error of the naive number, of the number by all draws of folds and of the one that leaves a fold out,
each with its standard error, their root mean square errors and how often the interval holds the truth, beside Student's
interval of the naive number. Exit code 1: a bias of the honest number beyond two standard errors, a coverage outside 93
to 97 %, or a naive number that does not fail with luck of 0.01, without which the simulation would prove nothing.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.evaluation.step_scores import StepPlan
from nnunet_assets.core.selection.candidates import Candidates
from nnunet_assets.core.selection.choice import Array, Units, units_of_cases
from nnunet_assets.core.selection.honest_number import honest_number
from nnunet_assets.core.selection.postprocessing import PostprocessedScores

N_FOLDS, N_CANDIDATES = 5, 10
CASE_SD, CASE_BY_CANDIDATE_SD = 0.08, 0.03
LEVEL = 0.8
SHAPES = {
    "10 equal": np.zeros(N_CANDIDATES),
    "10 rising": np.linspace(0.0, 0.018, N_CANDIDATES),
    "one clear winner": np.array([0.0] * (N_CANDIDATES - 1) + [0.05]),
    "10 equal, steps that help": np.zeros(N_CANDIDATES),
    "10 equal, steps of no use": np.zeros(N_CANDIDATES),
    "5 equal and their pairs": np.zeros(5),
    "5 equal and their pairs, steps that help": np.zeros(5),
}
STEP_SIZE, HELPED = 0.06, 0.15
"""How much a step changes the Dice of a case, and in which part of the cases it helps."""
PLAINLY_ORDERED = [*SHAPES][:3]
HARMED = {"steps that help": 0.03, "steps of no use": 0.15}
ENSEMBLE_GAIN, ENSEMBLE_SD = 0.004, 0.01
PLAN = StepPlan(((1,),), (None,), {"organ": (1,)}, {"organ": (0,)})
SIZES, LUCKS = (50, 250), (0.0, 0.005, 0.01)
SEED = 20261130
COVERED = (0.93, 0.97)


@dataclass(frozen=True)
class Cohort:
    """What one repeat found: errors are estimates minus the truth."""

    naive: float
    drawn: float
    left_one_out: float
    is_held: bool
    is_held_naively: bool


@dataclass(frozen=True)
class Scores:
    """What is chosen from.

    Attributes:
        plain: `(M, n_cases)`, of the models as they are.
        stepped: Likewise, after their steps; None: they have none.
        truth: `(M,)`, what the models score on average over cases and trainings.
        gain: What a step adds to that.
        is_ensemble: `(M,)`.
    """

    plain: Array
    stepped: Array | None
    truth: Array
    gain: float
    is_ensemble: list[bool]


def drawn_scores(shape: str, folds: NDArray[np.intp], luck: float, random: np.random.Generator) -> Scores:
    """Draws the scores of a cohort."""
    truth, n_cases = LEVEL + SHAPES[shape], len(folds)
    trained = random.normal(0, luck, (len(truth), N_FOLDS))
    noise = random.normal(0, CASE_SD, n_cases) + random.normal(0, CASE_BY_CANDIDATE_SD, (len(truth), n_cases))
    plain, is_ensemble = truth[:, None] + trained[:, folds] + noise, [False] * len(truth)
    if "pairs" in shape:
        pairs = np.array([*combinations(range(len(truth)), 2)])
        own = random.normal(0, ENSEMBLE_SD, (len(pairs), n_cases))
        plain = np.concatenate([plain, plain[pairs].mean(axis=1) + ENSEMBLE_GAIN + own])
        truth = np.concatenate([truth, truth[pairs].mean(axis=1) + ENSEMBLE_GAIN])
        is_ensemble += [True] * len(pairs)
    harmed = next((part for words, part in HARMED.items() if words in shape), None)
    if harmed is None:
        return Scores(plain, None, truth, 0.0, is_ensemble)
    kind = random.choice([1.0, -1.0, 0.0], p=[HELPED, harmed, 1 - HELPED - harmed], size=plain.shape)
    return Scores(plain, plain + STEP_SIZE * kind, truth, STEP_SIZE * (HELPED - harmed), is_ensemble)


def simulated(shape: str, n_cases: int, luck: float, n_draws: int, seed: int) -> Cohort:
    """Draws a cohort, has the rule choose, and compares."""
    random = np.random.default_rng([SEED, seed])
    folds = np.arange(n_cases) % N_FOLDS
    drawn = drawn_scores(shape, folds, luck, random)
    n_models = len(drawn.plain)
    cases, names = [f"{case:04d}" for case in range(n_cases)], [str(fold) for fold in folds]
    _, unit = units_of_cases(names, cases)
    there = np.ones((1, n_cases), dtype=bool)
    steps = [] if drawn.stepped is None else zip(drawn.plain, drawn.stepped, strict=True)
    candidates = Candidates.of(
        Units.of(drawn.plain[:, :, None], names, cases, [0.0] * n_models),
        [float(2 if is_ensemble else 1) for is_ensemble in drawn.is_ensemble],
        drawn.is_ensemble,
        [(k, PostprocessedScores(PLAN, (np.array(pair),), there, unit)) for k, pair in enumerate(steps)],
    )
    if shape in PLAINLY_ORDERED:  # each simpler than the next
        candidates = Candidates.plain(replace(candidates.models, simplicity=np.arange(n_models, dtype=float)))
    everything = np.ones((1, n_cases))
    chosen = int(candidates.chosen(everything).places[0])
    model, is_stepped = int(candidates.model_of[chosen]), False
    if chosen >= n_models:
        is_stepped = bool(candidates.taken(everything)[0, chosen - n_models])
    truth = drawn.truth[model] + drawn.gain * is_stepped
    of_chosen = drawn.stepped[model] if is_stepped and drawn.stepped is not None else drawn.plain[model]
    found = honest_number(candidates, n_draws=n_draws)
    assert not isinstance(found, str), found
    assert found.interval is not None
    error = of_chosen.std(ddof=1) / math.sqrt(n_cases)
    return Cohort(
        naive=of_chosen.mean() - truth,
        drawn=found.mean - truth,
        left_one_out=found.left_one_out - truth,
        is_held=found.interval.low <= truth <= found.interval.high,
        is_held_naively=abs(of_chosen.mean() - truth) <= 1.96 * error,
    )


def rows(
    pool: ProcessPoolExecutor, n_repeats: int, n_draws: int, sizes: tuple[int, ...], words: str
) -> Iterator[tuple[str, bool]]:
    """Yields each scenario's row, and whether all of it is as it should be."""
    for shape, n_cases, luck in product([shape for shape in SHAPES if words in shape], sizes, LUCKS):
        run = partial(simulated, shape, n_cases, luck, n_draws)
        cohorts = list(pool.map(run, range(n_repeats), chunksize=10))
        errors = np.array([[one.naive, one.drawn, one.left_one_out] for one in cohorts])
        bias, se = errors.mean(axis=0), errors.std(axis=0, ddof=1) / math.sqrt(n_repeats)
        rms = np.sqrt((errors**2).mean(axis=0))
        held, held_naively = (
            float(np.mean([getattr(one, name) for one in cohorts])) for name in ("is_held", "is_held_naively")
        )
        naive_fails = not (shape == "10 equal" and luck == max(LUCKS)) or bias[0] > 2 * se[0]
        is_right = abs(bias[1]) <= 2 * se[1] and COVERED[0] <= held <= COVERED[1] and naive_fails
        cells = [f"{one:+.4f} ± {other:.4f}" for one, other in zip(bias, se, strict=True)]
        figures = [*cells, *(f"{one:.4f}" for one in rms), f"{held:.3f}", f"{held_naively:.3f}"]
        yield f"| {shape}, n = {n_cases}, luck {luck:g} | {' | '.join(figures)} |", is_right


def main() -> int:
    """Prints the table and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--draws", type=int, default=400, help="of the patients, for each interval")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="50 cases only")
    parser.add_argument("--only", default="", help="words of the names of the candidates that are wanted")
    arguments = parser.parse_args()
    began, wrong = time.monotonic(), []
    names = ("naive", "drawn folds", "leaving one out")
    header = [*names, *(f"RMSE {name}" for name in names), "held", "naive held"]
    print(f"| candidates | {' | '.join(header)} |\n| :-- | {' | '.join('--:' for _ in header)} |")
    with ProcessPoolExecutor(arguments.processes) as pool:
        sizes = SIZES[:1] if arguments.quick else SIZES
        for row, is_right in rows(pool, arguments.repeats, arguments.draws, sizes, arguments.only):
            print(row, flush=True)
            if not is_right:
                wrong.append(row)
    print(f"\n{arguments.repeats} cohorts each, {arguments.draws} draws, {time.monotonic() - began:.0f} s")
    for row in wrong:
        print(f"not as it should be: {row}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
