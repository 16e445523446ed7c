"""Whatever a model fails in besides, no number and no mark of it against any other gets better."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnunet_assets.core.comparison import comparison
from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.comparison.comparison import Comparison, Difference, Standing, compare
from nnunet_assets.core.comparison.verdicts import Verdict, verdicts
from nnunet_assets.core.statistics import paired
from nnunet_assets.core.statistics.scoring import Scale, scale_of

DIAGONAL_MM = 300.0
ROUNDING = 1e-9
FAILING = "failing"
NAMES = (FAILING, "second", "third")
LABELS = ("organ", "lesion", "rare")
MARKS: tuple[Verdict | None, ...] = ("worse", "not_worse", "not_tested", "best", None)


@dataclass(frozen=True)
class Cohort:
    """Scores `(n_models, n_cases, n_labels)` on a scale, NaN where undefined, and the patient of each case."""

    metric: str
    patients: tuple[int, ...]
    scores: np.ndarray

    @property
    def scale(self) -> Scale:
        return scale_of(self.metric, DIAGONAL_MM)

    def compared(self) -> Comparison:
        cases = [f"c{k:02}" for k in range(len(self.patients))]
        experiments = [
            ComparedExperiment(
                name,
                "raw",
                "splits",
                {
                    self.metric: {
                        label: {
                            case: None if np.isnan(score) else float(score)
                            for case, score in zip(cases, self.scores[model, :, k], strict=True)
                        }
                        for k, label in enumerate(LABELS[: self.scores.shape[2]])
                    }
                },
                patients={case: f"p{p:02}" for case, p in zip(cases, self.patients, strict=True)},
            )
            for model, name in enumerate(NAMES[: len(self.scores)])
        ]
        return compare("D", experiments, {}, diagonal_mm=DIAGONAL_MM)


def cohort(metric: str, seed: int, n_patients: int, n_labels: int, *, is_close: bool) -> Cohort:
    """Objects that are there in some cases, found well or badly, missed and hallucinated by all models."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 3, n_patients))
    scale = scale_of(metric, DIAGONAL_MM)
    is_there = rng.random((len(patients), n_labels)) < rng.choice([0.1, 0.5, 0.9, 1.0], n_labels)
    own = rng.random((len(patients), n_labels))
    errors = np.empty((3, len(patients), n_labels))
    for model in range(3):
        scatter = rng.random(own.shape)
        found = np.where(
            rng.random(own.shape) < rng.choice([0.0, 0.2]), 1.0, (0.9 * own + 0.1 * scatter) if is_close else scatter
        )
        false = np.where(rng.random(own.shape) < rng.choice([0.0, 0.1, 0.5]), 1.0, np.nan)
        errors[model] = np.where(is_there, np.clip(found + (0.1 * model * own if is_close else 0), 0, 1), false)
    assert scale.worst is not None
    return Cohort(metric, tuple(patients.tolist()), scale.best + errors * (scale.worst - scale.best))


def failed(before: Cohort, seed: int, n: int) -> Cohort:
    """The first model misses, hallucinates, or draws worse n times."""
    rng = np.random.default_rng(seed)
    scale, scores = before.scale, before.scores.copy()
    assert scale.worst is not None
    for _ in range(n):
        case, label = rng.integers(scores.shape[1]), rng.integers(scores.shape[2])
        score = scores[0, case, label]
        part = 1.0 if np.isnan(score) or rng.random() < 0.5 else rng.random()
        scores[0, case, label] = scale.worst if part == 1.0 else score + part * (scale.worst - score)
    return replace(before, scores=scores)


def refuse_improvement(before: Cohort, after: Cohort) -> None:
    """Looks for a number or mark of the first model that is better after than before."""
    earlier, later = before.compared(), after.compared()
    is_lower_better = before.scale.is_lower_better
    for was, now in zip(earlier.standings, later.standings, strict=True):
        if was.experiment == FAILING:
            assert all_at_least(standing_of(was, is_lower_better), standing_of(now, is_lower_better)), (was, now)
            assert (was.n_worst or 0) <= (now.n_worst or 0)
    for then, here in zip(earlier.differences, later.differences, strict=True):
        if FAILING in (then.left, then.right):
            assert all_at_least(gains_of(then, is_lower_better), gains_of(here, is_lower_better)), (then, here)
    marks, new_marks = (verdicts(one, before.metric) for one in (earlier, later))
    for label in (*LABELS[: before.scores.shape[2]], None):
        key = FAILING, label
        assert MARKS.index(marks.get(key)) >= MARKS.index(new_marks.get(key)), (key, marks, new_marks)
    if f"{FAILING} is first" in later.headline():
        assert f"{FAILING} is first" in earlier.headline()


def standing_of(one: Standing, is_lower_better: bool) -> tuple[float, ...]:
    if one.mean is None:  # nothing drawn where nothing is: no failure in it
        return 1e9, 0, 0, 0, 2.0
    mean = -one.mean if is_lower_better else one.mean
    return mean, -(one.rank or 0), -(one.rank_low or 0), -(one.rank_high or 0), one.first_share or 0.0


def gains_of(one: Difference, is_lower_better: bool) -> tuple[float, ...]:
    """How far the failing model is ahead, by everything that is said of it."""
    side = (1 if one.left == FAILING else -1) * (-1 if is_lower_better else 1)
    better, worse = one.n_left_better or 0, one.n_right_better or 0
    count = (better - worse) * (1 if one.left == FAILING else -1)
    if one.mean is None:
        return *[float("nan")] * 7, count
    assert one.interval is not None
    assert one.p is not None
    assert one.p_corrected is not None
    assert one.effect is not None
    direction = side * float(np.sign(round(one.mean, 12)))
    ends = sorted(side * end for end in (one.interval.low, one.interval.high))
    evidence = [direction * (1 - p) for p in (one.p, one.p_corrected)]
    return side * one.mean, *ends, *evidence, side * one.effect, direction * one.is_significant, count


def all_at_least(before: tuple[float, ...], after: tuple[float, ...]) -> bool:
    return all(
        was >= now - ROUNDING * max(1.0, abs(now)) or np.isnan(was) or np.isnan(now)
        for was, now in zip(before, after, strict=True)
    )


SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("metric", ["dice", "hd95_mm"])
@settings(max_examples=60, deadline=None)
@given(
    seeds=st.tuples(SEEDS, SEEDS),
    sizes=st.tuples(st.integers(6, 10), st.integers(1, 3)),
    n=st.integers(1, 6),
    is_close=st.booleans(),
)
def test_no_failure_pays(
    metric: str, seeds: tuple[int, int], sizes: tuple[int, int], n: int, *, is_close: bool
) -> None:
    before = cohort(metric, seeds[0], *sizes, is_close=is_close)
    refuse_improvement(before, failed(before, seeds[1], n))


@settings(max_examples=6, deadline=None)
@given(seeds=st.tuples(SEEDS, SEEDS), n_patients=st.integers(16, 40), n=st.integers(1, 20))
@example(seeds=(0, 1), n_patients=20, n=1)
def test_nor_where_the_halves_are_drawn(seeds: tuple[int, int], n_patients: int, n: int) -> None:
    before = cohort("dice", seeds[0], n_patients, 2, is_close=True)
    refuse_improvement(before, failed(before, seeds[1], n))


@pytest.mark.parametrize("metric", ["dice", "hd95_mm"])
def test_the_search_sees_a_model_that_gets_better(metric: str) -> None:
    """The same search with the failures taken back finds something in nearly every cohort."""
    n_found = 0
    for seed in range(50):
        after = cohort(metric, seed, 6, 2, is_close=True)
        try:
            refuse_improvement(failed(after, seed + 1, 2), after)
        except AssertionError:
            n_found += 1
    assert n_found > 40


def holm(differences: Iterable[Difference]) -> Iterator[Difference]:
    """Corrects as version 0.1.0 did: the smallest p times all, the next times one less, and never less than before."""
    found = list(differences)
    largest = 0.0
    for done, index in enumerate(sorted(range(len(found)), key=lambda index: found[index].p or 0.0)):
        if (p := found[index].p) is not None:
            largest = max(largest, min(1.0, (len(found) - done) * p))
            found[index] = replace(found[index], p_corrected=largest)
    return iter(found)


@pytest.mark.parametrize("rule", ["Holm's correction", "halves in which one mean is undefined are left out"])
def test_the_search_finds_that_other_rules_would_pay(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = comparison._differences
    if rule == "Holm's correction":
        monkeypatch.setattr(comparison, "_differences", lambda *args: holm(own(*args)))
    else:
        monkeypatch.setattr(paired, "_filled", lambda left, right, best: left - right)
    for seed in range(200):
        before = cohort("dice", seed, 6, 2, is_close=False)
        try:
            refuse_improvement(before, failed(before, seed, 3))
        except AssertionError:
            return
    pytest.fail(f"200 cohorts do not show that {rule} pays.")
