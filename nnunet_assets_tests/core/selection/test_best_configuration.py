"""The choice among experiments, as people and programs read it."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.selection.best_configuration import BestConfiguration, Candidate, ExpectedScore
from nnunet_assets.core.selection.postprocessing import StepEffect
from nnunet_assets.core.selection.selecting import SelectableModel, best_configuration
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.errors import SummaryError

N_CASES = 30
RANDOM = np.random.default_rng(7)
DIFFICULTY = RANDOM.normal(0.7, 0.05, N_CASES)
# The second is the best by chance.
NOISE = RANDOM.normal(0, 0.02, (3, N_CASES)) + np.array([[0.0], [0.004], [0.0]])
SIZES = {"2d": 100, "3d_fullres": 200, "3d_lowres": 300}


def experiment(name: str, dice: Any, *, n_folds: int = 5, **fields: Any) -> ComparedExperiment:
    scores = {f"c{case:02d}": None if np.isnan(one) else float(one) for case, one in enumerate(dice)}
    folds = {f"fold_{k}": frozenset(case for case in scores if int(case[1:]) % n_folds == k) for k in range(n_folds)}
    values = {"raw_hash": "raw", "splits_hash": "splits", **fields}
    return ComparedExperiment(name, **values, scores={"dice": {"organ": scores}}, validation=folds)


def equals(**fields: Any) -> list[ComparedExperiment]:
    return [experiment(name, DIFFICULTY + NOISE[k], **fields) for k, name in enumerate(SIZES)]


def found(experiments: Any, left_out: Any = None) -> BestConfiguration:
    return best_configuration("Dataset001_Tiny", models(experiments), left_out or {})


def models(experiments: Any, sizes: Any = None) -> list[SelectableModel]:
    sizes = SIZES if sizes is None else sizes
    return [SelectableModel(one, (one.name,), sizes[one.name]) for one in experiments]


def test_the_simplest_of_equals_is_taken_and_its_number_is_corrected() -> None:
    best = found(equals())
    assert (best.candidates[0].name, best.chosen, [one.is_distinguished for one in best.candidates]) == (
        "3d_fullres",
        "2d",
        [False] * 3,
    )
    assert best.expected.interval.low < best.expected.mean < best.expected.interval.high
    assert set(best.expected.chosen_without) == {f"fold_{k}" for k in range(5)}
    assert best.optimism == pytest.approx(best.chosen_candidate.mean - best.expected.mean)
    assert best.headline().startswith("2d, of 3 candidates on 30 cases; expected Dice 0.")
    assert "cannot be told from it on these patients, and is the simplest of those that cannot." in best.reasons()[0]
    assert best.reasons()[-1] == "Left out one at a time, the folds choose: 2d in 5 of 5."


def test_a_clear_winner_is_taken_though_it_is_not_the_simplest() -> None:
    two = equals()[:2]
    best = found([two[0], experiment("3d_fullres", DIFFICULTY + 0.1 + NOISE[1])])
    assert (best.chosen, best.optimism) == ("3d_fullres", pytest.approx(0, abs=1e-3))
    assert best.reasons()[0] == "3d_fullres has the best mean Dice, and is told from every other."
    assert best.candidates[1].behind_interval.low > 0


def test_the_best_that_is_the_simplest_says_who_may_be_as_good() -> None:
    one = experiment("2d", DIFFICULTY + NOISE[0] + 0.005)
    best = found([one, experiment("3d_fullres", DIFFICULTY + NOISE[1])])
    assert best.reasons()[0] == "2d has the best mean Dice; 3d_fullres cannot be told from it, and is not simpler."


def test_a_single_candidate_is_taken() -> None:
    best = found(equals()[:1])
    assert best.headline().startswith("2d, of 1 candidate on 30 cases; expected Dice 0.")
    assert best.reasons() == ["2d is the only candidate."]


def test_of_two_folds_no_score_is_expected_and_it_says_why() -> None:
    best = found(equals(n_folds=2))
    assert (best.expected, best.optimism, best.chosen) == (None, None, "2d")
    assert best.headline().endswith(
        "no expected Dice: 2 folds are finished, and it takes 3 to choose on some and score on another"
    )


def test_who_is_on_other_splits_is_left_out_with_the_reason() -> None:
    experiments = [*equals()[:2], replace(equals()[2], splits_hash="other")]
    best = found(experiments, {"variant/2d": "it has no summary yet"})
    assert list(best.left_out) == ["variant/2d", "3d_lowres"]
    assert "they differ in splits" in best.left_out["3d_lowres"]


def test_a_size_that_is_not_known_is_simpler_than_nothing() -> None:
    best = best_configuration("Dataset001_Tiny", models(equals(), {**SIZES, "2d": None}), {})
    assert best.chosen == "3d_fullres"


def test_patients_that_are_not_known_are_said() -> None:
    assert found(equals()).notes == ("Whose the cases are is not known: each counts as a patient of its own.",)
    patients = {f"c{case:02d}": f"p{case // 2}" for case in range(N_CASES)}
    known = found(equals(patients=patients))
    assert (known.notes, known.n_patients, known.n_cases) == ((), 15, 30)


def test_many_folds_are_said() -> None:
    assert "Of 10 folds, more than 8," in found(equals(n_folds=10)).notes[-1]


def test_nothing_to_choose_from_is_an_error_with_the_reasons() -> None:
    with pytest.raises(SummaryError, match="2d: it has no summary yet"):
        found([], {"2d": "it has no summary yet"})
    with pytest.raises(SummaryError, match="No label of Dataset001_Tiny has a Dice in any case"):
        found([experiment("2d", np.full(N_CASES, np.nan))])


def test_its_json_has_no_value_that_json_does_not_have() -> None:
    content = found([equals()[0], experiment("3d_fullres", [np.nan] * N_CASES)]).to_json()
    json.dumps(content, allow_nan=False)
    assert content["schema_version"] == 2
    assert [one["mean"] for one in content["candidates"] if one["name"] == "3d_fullres"] == [None]


def candidate(name: str, mean: float | None, *, is_distinguished: bool = False, steps: Any = ()) -> Candidate:
    return Candidate(
        name=name,
        model=name.partition(" + ")[0],
        members=(name,),
        steps=steps,
        mean=mean,
        n_defined=9,
        behind=0.0,
        behind_interval=None,
        is_distinguished=is_distinguished,
        weights_bytes=1,
    )


def choice(*candidates: Candidate, chosen: str = "a", **fields: Any) -> BestConfiguration:
    expected = ExpectedScore(0.8, 0.79, Interval(0.7, 0.9), {"fold_0": "a", "fold_1": "b", "fold_2": "b"})
    known = {"expected": expected, "not_expected_because": None, "left_out": {}, "n_cases": 9, "n_patients": 9}
    whole: dict[str, Any] = {**known, **fields}
    return BestConfiguration("D", candidates, chosen, **whole)


def test_the_headline_says_of_how_many_it_is_and_what_to_expect() -> None:
    one, two = candidate("a", 0.85), candidate("b", 0.8)
    assert choice(one).headline() == "a, of 1 candidate on 9 cases; expected Dice 0.800 (0.700 to 0.900)"
    bare = choice(one, two, expected=ExpectedScore(0.8, 0.79, None, {}))
    assert bare.headline() == "a, of 2 candidates on 9 cases; expected Dice 0.800"
    none = choice(one, two, expected=None, not_expected_because="of two folds")
    assert (none.headline(), none.optimism) == ("a, of 2 candidates on 9 cases; no expected Dice: of two folds", None)
    assert choice(one).optimism == pytest.approx(0.05)
    assert choice(candidate("a", None)).optimism is None


def test_why_it_is_taken_is_said_in_sentences() -> None:
    one, two, three = candidate("a", 0.85), candidate("b", 0.8), candidate("c", 0.8)
    apart = [replace(other, is_distinguished=True) for other in (two, three)]
    assert choice(one, *apart).reasons() == [
        "a has the best mean Dice, and is told from every other.",
        "Its own mean of 0.850 is one of 3 that were chosen from. Expected of a model that is chosen so is 0.800 "
        "(-0.050); leaving one fold out gives 0.790.",
        "Left out one at a time, the folds choose: b in 2 of 3, a in 1 of 3.",
    ]
    assert choice(one, two, three).reasons()[0] == (
        "a has the best mean Dice; b, c cannot be told from it, and are not simpler."
    )
    assert choice(one, apart[0], three).reasons()[0] == (
        "a has the best mean Dice; c cannot be told from it, and is not simpler."
    )
    assert choice(candidate("a", None), candidate("b", 0.7), chosen="b").reasons()[0] == (
        "a has the best mean Dice (undefined). b (0.700) cannot be told from it on these patients, and is the simplest "
        "of those that cannot."
    )
    assert choice(one, two, expected=None, not_expected_because="x").reasons() == [
        "a has the best mean Dice; b cannot be told from it, and is not simpler."
    ]
    assert choice(one).reasons() == ["a is the only candidate."]


def test_what_postprocessing_does_to_it_is_said() -> None:
    def effect(owner: str | None, gain: float, *, is_taken: bool) -> StepEffect:
        return StepEffect((1,), owner, is_taken, "because", gain, None, 0, 0, {})

    plain, with_steps = candidate("a", 0.8), candidate("a + postprocessing", 0.85, steps=((1,),))
    effects = (
        effect(None, 0.05, is_taken=True),
        effect("organ", -0.1, is_taken=False),
        effect("x", 0.01, is_taken=True),
    )
    of_a: dict[str, Any] = {"postprocessing": {"a": effects}, "expected": None, "not_expected_because": "x"}
    said = "Of the whole foreground (+0.0500), x (+0.0100) only the largest component stays"
    assert choice(with_steps, plain, chosen="a + postprocessing", **of_a).reasons()[-1] == f"{said}."
    assert choice(with_steps, plain, **of_a).reasons()[-1] == (
        f"{said} in a + postprocessing, which is not better by more than chance."
    )
    none = {**of_a, "postprocessing": {"a": effects[1:2]}}
    assert choice(plain, **none).reasons()[-1].startswith("No postprocessing step is taken: none gains")
    assert choice(plain, **{**of_a, "postprocessing": {"b": effects}}).reasons() == ["a is the only candidate."]
