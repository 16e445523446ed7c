"""Points by Optuna: the same again for the same seed and trials, and what stopped trials teach."""

import hashlib

import pytest

from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.space import Dimension, Kind, Space
from nnunet_assets.core.search.trial_files import Trial, TrialState

pytest.importorskip("optuna")
from nnunet_assets.workflows.search import sampling
from nnunet_assets.workflows.search.sampling import next_point

RANGES: tuple[Kind, ...] = ("log", "uniform", "int", "log_int")
RATE = Dimension("lr", "log", low=1e-4, high=1e-1)
SMALL = Space((Dimension("a", "choice", ("x", [1, 2])), Dimension("b", "int", low=0, high=2, when={"a": ("x",)})))


def test_a_small_space_is_gone_through_without_a_point_twice() -> None:
    for sampler in ("grid", "random"):
        trials: list[Trial] = []
        while (point := next_point(SMALL, sampler, 3, trials, {})) is not None:
            trials.append(Trial(len(trials), point, 0))
        assert len(trials) == 4
        assert all(any(one.point == point for one in trials) for point in SMALL.grid())


def test_the_same_seed_and_trials_give_the_same_point_in_another_process_too() -> None:
    space = Space((RATE,))
    trials = [Trial(n, {"lr": 10 ** (-1 - n / 5)}, 0, "finished") for n in range(12)]
    curves = {n: Curve({9: 1 - n / 20}, 9) for n in range(12)}
    points = [next_point(space, "tpe", seed, trials, curves) for seed in (1, 1, 2)]
    assert points[0] == points[1] != points[2]
    assert all(space.holds(point or {}) for point in points)


def test_a_score_of_a_later_epoch_is_never_held_against_one_of_an_earlier() -> None:
    """Trials at high rates were stopped early with scores that are high for so few epochs: the low rates went on."""
    trials, curves = [], {}
    for n in range(24):
        is_low = n % 2 == 0
        rate = (2e-4 if is_low else 5e-2) * (1 + n / 24)
        trials.append(Trial(n, {"lr": rate}, 0, "finished" if is_low else "stopped"))
        curves[n] = Curve({3: 0.3, 9: 0.6}, 9) if is_low else Curve({3: 0.9}, 3)
    drawn = [next_point(Space((RATE,)), "tpe", seed, trials, curves) for seed in range(8)]
    assert sum(point["lr"] < 2e-3 for point in drawn if point) >= 7


def test_a_point_that_diverged_is_kept_away_from() -> None:
    trials = [Trial(n, {"lr": 3e-2 * (1 + n / 12)}, 0, "failed", failure="diverged") for n in range(12)]
    more = [Trial(12 + n, {"lr": 1e-3 * (1 + n)}, 0, "finished") for n in range(12)]
    curves = {one.number: Curve({9: 0.5 + one.number / 100}, 9) for one in more}
    drawn = [next_point(Space((RATE,)), "tpe", seed, [*trials, *more], curves) for seed in range(8)]
    assert sum(point["lr"] < 2e-2 for point in drawn if point) == 8


@pytest.mark.parametrize(("failure", "state"), [("diverged", "PRUNED"), ("bad_input", "PRUNED"), ("killed", "FAIL")])
def test_only_what_failed_for_its_points_sake_says_something_of_it(failure: str, state: str) -> None:
    told = sampling._told(Space((RATE,)), Trial(0, {"lr": 1e-2}, 0, "failed", failure=failure), Curve())
    assert told.state.name == state


@pytest.mark.parametrize(
    ("state", "scores", "told"),
    [
        ("begun", {3: 0.5}, ("RUNNING", None, {3: 0.5})),
        ("finished", {3: 0.5, 9: 0.7}, ("COMPLETE", 0.7, {3: 0.5, 9: 0.7})),
        ("finished", {}, ("FAIL", None, {})),
        ("stopped", {3: 0.5}, ("PRUNED", None, {3: 0.5})),
        # After what failed, nothing is compared.
        ("failed", {3: 0.5}, ("FAIL", None, {})),
    ],
)
def test_a_trial_is_told_with_its_scores(state: TrialState, scores: dict[int, float], told: object) -> None:
    found = sampling._told(SMALL, Trial(0, {"a": [1, 2]}, 0, state), Curve(scores, max(scores, default=0)))
    # A score that is no result is told as one of its epoch alone.
    assert (found.state.name, found.values and found.values[0], found.intermediate_values) == told
    assert found.params == {"a": 1}  # by its place among the choices


def test_ranges_are_told_as_they_are_varied() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    parts = [Dimension(kind, kind, low=1, high=8) for kind in RANGES] + [Dimension("choice", "choice", (True, 1))]
    found = sampling.told_values(parts, {"log": 2.5, "uniform": 8.0, "int": 3, "log_int": 1, "choice": 1})
    assert found["params"] == {"log": 2.5, "uniform": 8.0, "int": 3, "log_int": 1, "choice": 1}
    assert found["distributions"] == {
        "log": FloatDistribution(1, 8, log=True),
        "uniform": FloatDistribution(1, 8),
        "int": IntDistribution(1, 8),
        "log_int": IntDistribution(1, 8, log=True),
        "choice": CategoricalDistribution((0, 1)),
    }


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_what_is_drawn_is_of_the_space_and_each_of_a_small_one_is(sampler: str) -> None:
    space = Space((*[Dimension(kind, kind, low=1, high=3) for kind in RANGES], *SMALL.dimensions))
    points = [next_point(space, sampler, seed, [], {}) or {} for seed in range(12)]
    assert all(space.holds(point) for point in points)
    for name in ("int", "log_int"):
        assert {point[name] for point in points} == {1, 2, 3}
    assert all(isinstance(point[name], float) for point in points for name in ("log", "uniform"))


def test_what_is_not_drawn_by_chance_is_one_of_those_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_DRAWS", 0)
    points, first = list(SMALL.grid()), [Trial(0, {"a": "x", "b": 0}, 0)]
    # Of more than are listed it is the first.
    for most, places in ((4, {1, 2, 3}), (3, {1})):
        monkeypatch.setattr(sampling, "MOST_LISTED", most)
        assert {points.index(next_point(SMALL, "random", seed, first, {}) or {}) for seed in range(30)} == places


def test_a_seed_of_a_draw_is_the_same_for_ever() -> None:
    # The first four bytes of SHA-256 of "3 0 1".
    assert sampling._seed(3, 0, 1) == int(hashlib.sha256(b"3 0 1").hexdigest()[:8], 16)


def test_tpe_keeps_away_from_what_trains_where_several_do() -> None:
    told = [sampling._sampler("tpe", 1, at_once)._constant_liar for at_once in (1, 2)]
    assert told == [False, True]
    assert type(sampling._sampler("random", 1, 2)).__name__ == "RandomSampler"


def test_a_trial_outside_of_a_space_that_was_narrowed_is_passed_over() -> None:
    trials = [Trial(n, {"lr": 0.5}, 0, "finished") for n in range(12)]
    point = next_point(Space((RATE,)), "tpe", 0, trials, {n: Curve({9: 0.5}, 9) for n in range(12)})
    assert point is not None
    assert RATE.holds(point["lr"])
