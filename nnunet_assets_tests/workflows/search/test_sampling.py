"""Points by Optuna: the same again for the same seed and trials, and what stopped trials teach."""

import pytest

from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.space import Dimension, Space
from nnunet_assets.core.search.trial_files import Trial

pytest.importorskip("optuna")
from nnunet_assets.workflows.search import sampling
from nnunet_assets.workflows.search.sampling import next_point

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


def test_a_trial_outside_of_a_space_that_was_narrowed_is_passed_over() -> None:
    trials = [Trial(n, {"lr": 0.5}, 0, "finished") for n in range(12)]
    point = next_point(Space((RATE,)), "tpe", 0, trials, {n: Curve({9: 0.5}, 9) for n in range(12)})
    assert point is not None
    assert RATE.holds(point["lr"])
