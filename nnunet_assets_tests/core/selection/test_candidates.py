"""Models with and without postprocessing as one list to choose from."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.evaluation.step_scores import StepPlan
from nnunet_assets.core.selection.candidates import Candidates
from nnunet_assets.core.selection.choice import Units
from nnunet_assets.core.selection.honest_number import honest_number
from nnunet_assets.core.selection.postprocessing import PostprocessedScores
from nnunet_assets_tests.core.selection.test_choice import chosen, units

PLAN = StepPlan(((1,),), (None,), {"organ": (1,)}, {"organ": (0,)})
FOLDS = [case % 3 for case in range(24)]
THERE = np.ones((1, 24), dtype=bool)


def postprocessed(before: Any, after: Any) -> PostprocessedScores:
    cases = [
        {"organ": {"reference_voxels": 5, "0": float(one), "1": float(other)}}
        for one, other in zip(before, after, strict=True)
    ]
    return PostprocessedScores.of(PLAN, cases, unit_of(), ["organ"])


def unit_of() -> Any:
    """Returns the unit of each case, as `Units` orders them."""
    pairs = np.array([[str(fold) for fold in FOLDS], [str(case) for case in range(24)]])
    return np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)


def two_models(gain: Any) -> tuple[Candidates, Any]:
    """Of one model and another one, whose step gains so much by case."""
    random = np.random.default_rng(3)
    scores = random.uniform(0.5, 0.7, (2, 24))
    models = units(scores, folds=FOLDS)
    found = Candidates.of(models, [1, 2], [False, False], [(1, postprocessed(scores[1], scores[1] + gain))])
    return found, scores


def test_the_simplest_is_a_single_model_without_steps_and_then_with_fewer_parameters() -> None:
    models = units(np.full((3, 24), 0.5), folds=FOLDS)
    same = postprocessed(np.full(24, 0.5), np.full(24, 0.5))
    found = Candidates.of(models, [7, 5, 4], [False, False, True], [(0, same), (1, same), (2, same)])
    assert np.argsort(found.simplicity).tolist() == [1, 0, 4, 3, 2, 5]
    assert found.model_of.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(found.trainings.sums) == 2


def test_equal_ones_are_equally_simple_and_of_unknown_size_nothing_is_simpler_than() -> None:
    models = units(np.full((3, 24), 0.5), folds=FOLDS)
    assert Candidates.of(models, [5, np.inf, 5], [False] * 3).simplicity.tolist() == [0, 1, 0]


def test_a_model_with_steps_scores_what_is_left_after_them() -> None:
    found, scores = two_models(0.1)
    together = found.with_steps(np.ones((1, 24)))
    means = together.differences(np.ones((1, 24))).means[0]
    assert means == pytest.approx([scores[0].mean(), scores[1].mean(), scores[1].mean() + 0.1])
    assert chosen(together) == 2


def test_steps_are_decided_anew_under_each_weighting() -> None:
    # The step helps in folds 0 and 1, and harms in 2 so much that on all it is not taken.
    gain = np.where(np.array(FOLDS) == 2, -0.3, 0.1)
    found, _ = two_models(gain)
    fold = found.fold
    weights = np.stack([np.ones(24), fold != 2, np.ones(24), fold != 0]).astype(float)
    gains = [float(one.sums[2].sum() - one.sums[1].sum()) for one in (found.with_steps(row[None]) for row in weights)]
    assert gains == [0.0, pytest.approx(gain.sum()), 0.0, 0.0]


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 2))
@settings(max_examples=30, deadline=None)
def test_many_weightings_at_once_choose_what_each_alone_does(seed: int, n_models: int, n_labels_absent: int) -> None:
    random = np.random.default_rng(seed)
    scores = 0.6 + random.normal(0, 0.02, (n_models, 24)) + random.normal(0, 0.05, 24)
    scores[:, random.permutation(24)[:n_labels_absent]] = np.nan
    gains = 0.05 * random.choice([1.0, -1.0, 0.0], p=[0.3, 0.1, 0.6], size=scores.shape)
    steps = [
        (k, PostprocessedScores(PLAN, (np.array([scores[k], scores[k] + gains[k]]),), THERE, unit_of()))
        for k in range(n_models)
        if random.random() < 0.8
    ]
    is_ensemble = [bool(one) for one in random.random(n_models) < 0.5]
    found = Candidates.of(units(scores, folds=FOLDS), random.integers(1, 4, n_models).tolist(), is_ensemble, steps)
    weights = random.integers(0, 3, (40, 24)).astype(float)
    together = found.chosen(weights)
    sums, counts = together.label_sums(weights)
    for k, row in enumerate(weights):
        alone = found.with_steps(row[None])
        place = int(alone.chosen(row[None])[0])
        assert together.places[k] == place
        assert sums[k] == pytest.approx(alone.label_sums(row[None])[0][0, place])
        assert counts[k] == pytest.approx(alone.label_sums(row[None])[1][0, place])


def test_a_fold_has_no_say_in_the_steps_that_it_is_scored_with() -> None:
    gain = np.where(np.array(FOLDS) == 2, -0.3, 0.1)
    scores = np.random.default_rng(3).uniform(0.5, 0.7, (1, 24))
    models = units(scores, folds=FOLDS)
    found = Candidates.of(models, [1], [False], [(0, postprocessed(scores[0], scores[0] + gain))])
    number = honest_number(found, n_draws=20)
    assert not isinstance(number, str)
    # Without fold 2 the step is taken, and harms fold 2; without another one it is not taken.
    assert number.by_fold == {0: 0, 1: 0, 2: 1}
    assert number.left_one_out == pytest.approx(scores.mean() - 0.3 / 3)


def test_without_postprocessing_it_is_the_models_alone() -> None:
    models = units(np.random.default_rng(0).uniform(0.4, 0.9, (3, 24)), folds=FOLDS)
    found = Candidates.of(models, [1, 2, 3], [False] * 3)
    weights = np.random.default_rng(1).integers(0, 3, (5, 24)).astype(float)
    assert np.array_equal(found.with_steps(weights[:1]).sums, models.sums)
    assert found.chosen(weights).places.tolist() == found.models.chosen(weights).tolist()


def test_luck_is_that_of_trainings_and_not_of_ensembles_or_of_steps() -> None:
    random = np.random.default_rng(5)
    scores = 0.6 + random.normal(0, 0.05, (2, 3))[:, FOLDS] + random.normal(0, 0.01, (2, 24))
    alone = units(scores, folds=FOLDS)
    more: Units = units(np.concatenate([scores, scores.mean(axis=0)[None]]), folds=FOLDS)
    steps = [(k, postprocessed(scores[k], scores[k])) for k in range(2)]
    plain, all_of_it = Candidates.plain(alone), Candidates.of(more, [1, 1, 2], [False, False, True], steps)
    assert np.array_equal(all_of_it.trainings.sums, plain.trainings.sums)


def test_a_plain_candidate_is_a_single_model() -> None:
    alone = units(np.full((3, 4), 0.5), folds=[0, 0, 1, 1])
    plain = Candidates.plain(alone)
    assert (plain.is_ensemble, plain.postprocessed) == ((False, False, False), ())
    assert plain.model_of.tolist() == [0, 1, 2]
