"""Which point the next trial has, by Optuna: a pure function of the seed, the trial's number and the trials before it.

Optuna is told what Ray's own adapter would not: that a stopped trial was *pruned*, with its score after so many epochs.
TPE compares pruned trials by how far they came, and by their scores only where that is equal; Ray reports a trial that
was stopped as complete, so that a score of epoch 30 is held against one of epoch 250.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.space import Dimension, Space, is_same_point
from nnunet_assets.core.search.trial_files import OF_THE_POINT, Trial

if TYPE_CHECKING:
    import optuna

MOST_DRAWS = 20
"""A point that was drawn before is drawn again so often; then it is any of those that were not tried, if they can be
counted."""

MOST_LISTED = 10_000
"""Of so many points which were not tried is listed; of more the first of them is taken."""


def next_point(
    space: Space, sampler: str, seed: int, trials: Sequence[Trial], curves: Mapping[int, Curve], *, at_once: int = 1
) -> dict[str, Any] | None:
    """Returns the point of the next trial; None: every point was tried.

    Args:
        space: What may be tried.
        sampler: `tpe`, `random` or `grid`.
        seed: Of the search.
        trials: Those before it, in any state.
        curves: What they scored, by number.
        at_once: How many train at once; TPE then keeps away from those that still train.
    """
    tried = [trial.point for trial in trials]
    if sampler != "grid":
        study = _study(space, trials, curves if sampler == "tpe" else None)
        for draw in range(MOST_DRAWS):
            study.sampler = _sampler(sampler, _seed(seed, len(trials), draw), at_once)
            point = _drawn(space, study)
            if not any(is_same_point(point, other) for other in tried):
                return point
        if space.n_points is None:
            return point
    untried = (point for point in space.grid() if not any(is_same_point(point, other) for other in tried))
    if sampler == "grid" or (space.n_points or 0) > MOST_LISTED:
        return next(untried, None)
    left = list(untried)
    return left[_seed(seed, len(trials), MOST_DRAWS) % len(left)] if left else None


def _seed(seed: int, number: int, draw: int) -> int:
    """Returns a seed of its own for each draw, so that no state of a generator has to survive a kill."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number} {draw}".encode()).digest()[:4])


def _sampler(name: str, seed: int, at_once: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler

    return RandomSampler(seed=seed) if name == "random" else TPESampler(seed=seed, constant_liar=at_once > 1)


def _study(space: Space, trials: Sequence[Trial], curves: Mapping[int, Curve] | None) -> "optuna.Study":
    """Returns a study that knows trials by their curves; None: it is for a sampler that learns from none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    if curves is not None:
        # What a search was narrowed to since holds no point outside of it.
        study.add_trials(
            [_told(space, one, curves.get(one.number, Curve())) for one in trials if space.holds(one.point)]
        )
    return study


def _told(space: Space, trial: Trial, curve: Curve) -> "optuna.trial.FrozenTrial":
    """Returns a trial as Optuna is told of it.

    One that failed for its point's sake is pruned without a score, the worst that there is; any other failure says
    nothing.
    """
    from optuna.trial import TrialState, create_trial

    parts = [one for one in space.dimensions if one.name in trial.point]
    failed = TrialState.PRUNED if trial.failure in OF_THE_POINT else TrialState.FAIL
    is_complete = trial.state == "finished" and curve.last is not None
    state = {
        "begun": TrialState.RUNNING,
        "finished": TrialState.COMPLETE if is_complete else TrialState.FAIL,
        "stopped": TrialState.PRUNED,
        "failed": failed,
    }[trial.state]
    return create_trial(
        state=state,
        value=curve.last[1] if is_complete and curve.last else None,
        **told_values(parts, trial.point),
        intermediate_values={} if trial.state == "failed" else dict(curve.scores),
    )


def told_values(parts: Sequence[Dimension], point: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns `params` and `distributions`, as Optuna takes a trial's, of some of a point's parts."""
    return {
        "params": {one.name: _told_value(one, point[one.name]) for one in parts},
        "distributions": {one.name: _distribution(one) for one in parts},
    }


def _distribution(one: Dimension) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match one.kind:
        case "choice":
            # By place: Optuna takes no lists, and 1 for true.
            return CategoricalDistribution(range(len(one.choices)))
        case "int" | "log_int":
            return IntDistribution(int(one.low), int(one.high), log=one.kind == "log_int")
        case _:
            return FloatDistribution(one.low, one.high, log=one.kind == "log")


def _told_value(one: Dimension, value: Any) -> Any:
    if one.kind != "choice":
        return value
    return next(place for place, choice in enumerate(one.choices) if is_same_point({"": choice}, {"": value}))


def _drawn(space: Space, study: "optuna.Study") -> dict[str, Any]:
    from optuna.trial import TrialState

    trial = study.ask()
    point: dict[str, Any] = {}
    for one in space.dimensions:
        if not one.is_part_of(point):
            continue
        match one.kind:
            case "choice":
                point[one.name] = one.choices[trial.suggest_categorical(one.name, range(len(one.choices)))]
            case "int" | "log_int":
                point[one.name] = trial.suggest_int(one.name, int(one.low), int(one.high), log=one.kind == "log_int")
            case _:
                point[one.name] = trial.suggest_float(one.name, one.low, one.high, log=one.kind == "log")
    # Nothing is learnt from what was only drawn.
    study.tell(trial, state=TrialState.FAIL)
    return point
