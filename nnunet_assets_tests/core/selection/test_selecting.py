"""The choice among models that have postprocessing and ensembles."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.evaluation.step_scores import StepPlan
from nnunet_assets.core.selection.best_configuration import BestConfiguration
from nnunet_assets.core.selection.selecting import SelectableModel, StepScores, best_configuration
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.core.selection.test_best_configuration import DIFFICULTY, NOISE, experiment

PLAN = StepPlan(((1,),), (None,), {"organ": (1,)}, {"organ": (0,)})


def model(name: str, dice: Any, gain: Any = None, *, size: int = 1, members: tuple[str, ...] = ()) -> SelectableModel:
    """A model whose step gains so much in each case; None: it has no postprocessing."""
    scores = experiment(name, dice)
    steps = None
    if gain is not None:
        after = dice + gain
        steps = StepScores(
            PLAN,
            {
                f"c{k:02d}": {"organ": {"reference_voxels": 9, "0": float(dice[k]), "1": float(after[k])}}
                for k in range(len(dice))
            },
        )
    return SelectableModel(scores, members or (name,), size, steps, made_of=f"digest of {name}")


def chosen_of(*models: SelectableModel) -> BestConfiguration:
    return best_configuration("Dataset001_Tiny", models, {})


def with_steps() -> BestConfiguration:
    return chosen_of(model("2d", DIFFICULTY, 0.03 + NOISE[0] / 4), model("3d", DIFFICULTY - 0.1, 0.0 * DIFFICULTY))


def test_a_model_with_a_step_that_helps_is_a_candidate_of_its_own_and_chosen() -> None:
    best = with_steps()
    assert [one.name for one in best.candidates] == ["2d + postprocessing", "2d", "3d"]
    assert best.chosen_candidate.steps == ((1,),)
    assert (best.chosen_candidate.model, best.chosen_candidate.members) == ("2d", ("2d",))
    assert best.expected.mean == pytest.approx(best.chosen_candidate.mean, abs=1e-3)
    assert set(best.expected.chosen_without.values()) == {"2d + postprocessing"}
    assert best.reasons()[-1].startswith("Of the whole foreground (+0.03")
    assert best.made_of == {"2d": "digest of 2d", "3d": "digest of 3d"}


def test_no_step_that_helps_is_no_candidate_and_is_said() -> None:
    best = chosen_of(model("2d", DIFFICULTY, NOISE[0] / 10), model("3d", DIFFICULTY - 0.1))
    assert [one.name for one in best.candidates] == ["2d", "3d"]
    assert best.reasons()[-1].startswith("No postprocessing step is taken")
    assert set(best.postprocessing) == {"2d"}


def test_an_ensemble_must_be_better_by_more_than_chance() -> None:
    members = ("2d", "3d")
    lucky = model("2d+3d", DIFFICULTY + NOISE[1], size=3, members=members)
    singles = model("2d", DIFFICULTY + NOISE[0]), model("3d", DIFFICULTY - 0.1, size=2)
    assert (chosen_of(*singles, lucky).candidates[0].name, chosen_of(*singles, lucky).chosen) == ("2d+3d", "2d")
    clear = model("2d+3d", DIFFICULTY + 0.05, size=3, members=members)
    best = chosen_of(*singles, clear)
    assert (best.chosen, best.chosen_candidate.members) == ("2d+3d", members)


def test_a_single_model_with_steps_is_simpler_than_an_ensemble() -> None:
    ensemble = model("2d+3d", DIFFICULTY + 0.0301 + NOISE[1] / 5, size=3, members=("2d", "3d"))
    best = chosen_of(model("2d", DIFFICULTY, 0.03 + NOISE[0] / 4), model("3d", DIFFICULTY - 0.1, size=2), ensemble)
    assert best.chosen == "2d + postprocessing"


def test_postprocessing_of_cases_that_have_no_mask_is_not_looked_at() -> None:
    found = model("2d", DIFFICULTY, 0.03 + NOISE[0])
    fewer = replace(found.steps, cases={k: v for k, v in found.steps.cases.items() if k != "c00"})
    assert chosen_of(replace(found, steps=fewer)).postprocessing == {}


def test_regions_that_are_not_tried_are_said() -> None:
    found = model("2d", DIFFICULTY, 0.0 * DIFFICULTY)
    plan = replace(PLAN, left_out=("rim",))
    best = chosen_of(replace(found, steps=replace(found.steps, plan=plan)))
    assert "is not tried for rim" in best.notes[-1]


def test_scores_that_a_step_makes_undefined_are_counted_beside_the_mean() -> None:
    dice = np.where(np.arange(30) % 3 == 0, 0.0, DIFFICULTY)
    found = model("2d", dice, 0.0 * dice)
    cases = {
        name: {"organ": {**one["organ"], "1": None if one["organ"]["0"] == 0 else one["organ"]["0"]}}
        for name, one in found.steps.cases.items()
    }
    best = chosen_of(replace(found, steps=replace(found.steps, cases=cases)))
    assert {one.name: one.n_defined for one in best.candidates} == {"2d": 30, "2d + postprocessing": 20}


OF_TWO = StepPlan(
    ((1, 2), (1,), (2,)),
    (None, "organ", "tumour"),
    {"organ": (1,), "tumour": (2,)},
    {"organ": (0, 1), "tumour": (0, 2)},
)


def of_two(**by_combination: float | None) -> dict[str, float | int | None]:
    return {"reference_voxels": 9, **{key.removeprefix("k"): dice for key, dice in by_combination.items()}}


def test_scores_after_steps_are_those_of_the_combination_that_is_taken() -> None:
    organ = of_two(k00=0.1, k10=0.2, k01=0.3, k11=0.4)
    tumour = of_two(k00=0.5, k10=0.6, k01=0.7, k11=None)
    scores = StepScores(OF_TWO, {"c0": {"organ": organ, "tumour": tumour}})
    assert scores.after([]) == {"organ": {"c0": 0.1}, "tumour": {"c0": 0.5}}
    assert scores.after([(1, 2)]) == {"organ": {"c0": 0.2}, "tumour": {"c0": 0.6}}
    assert scores.after([(1,)]) == {"organ": {"c0": 0.3}, "tumour": {"c0": 0.5}}
    assert scores.after([(2,), (1, 2)]) == {"organ": {"c0": 0.2}, "tumour": {"c0": None}}
    with pytest.raises(SummaryError, match=r"step on \(3,\) is not known"):
        scores.after([(3,)])


def test_the_mean_of_the_scores_after_steps_is_that_of_the_candidate_with_them() -> None:
    best = with_steps()
    steps = model("2d", DIFFICULTY, 0.03 + NOISE[0] / 4).steps
    after = steps.after(best.chosen_candidate.steps)["organ"]
    assert np.mean(list(after.values())) == pytest.approx(best.chosen_candidate.mean, abs=1e-9)


def test_how_far_behind_is_said_of_all_but_the_best_and_patients_are_needed_for_an_end() -> None:
    best = chosen_of(model("2d", DIFFICULTY), model("3d", DIFFICULTY - 0.1 + NOISE[0] / 10))
    first, second = best.candidates
    assert (first.behind, first.behind_interval) == (0.0, None)
    assert second.behind_interval.low < second.behind < second.behind_interval.high
    assert second.behind_interval.low == round(second.behind_interval.low, 9)
    assert second.behind_interval.high == round(second.behind_interval.high, 9)
    alone = chosen_of(model("2d", DIFFICULTY[:1]), model("3d", DIFFICULTY[:1] - 0.1))
    assert [one.behind_interval for one in alone.candidates] == [None, None]
    assert [one.is_ensemble for one in (model("2d", DIFFICULTY), model("e", DIFFICULTY, members=("a", "b")))] == [
        False,
        True,
    ]


def test_candidates_are_shown_by_how_far_behind_they_are_and_of_equal_ones_the_best_first() -> None:
    downs = {"a": 0.2, "b": 0.0, "c": 0.0, "d": 0.1}
    best = chosen_of(*(model(name, DIFFICULTY - down) for name, down in downs.items()))
    assert [one.name for one in best.candidates] == ["b", "c", "d", "a"]
    assert best.candidates[0].weights_bytes == 1
    assert [one.n_defined for one in best.candidates] == [30] * 4


def test_what_is_not_known_of_models_is_not_said_of_them() -> None:
    bare = replace(model("2d", DIFFICULTY), made_of="")
    best = best_configuration("D", [bare, model("3d", DIFFICULTY)], {}, ["A note."])
    assert best.made_of == {"3d": "digest of 3d"}
    assert best.notes[0] == "A note."
    assert not any("not tried" in note for note in best.notes)
