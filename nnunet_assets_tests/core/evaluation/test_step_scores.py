"""What labels score after postprocessing steps, against masks that go through the steps one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.evaluation.step_scores import (
    MAX_REGION_STEPS,
    REFERENCE_VOXELS,
    StepPlan,
    case_step_scores,
    plain_scores,
    step_plan,
    unchanged_scores,
)
from nnunet_assets.core.model.largest_component import postprocessed
from nnunet_assets_tests.raw_builders import tiny_json, write_json

LABELS = {"background": 0, "organ": 1, "lesion": 2, "vessel": 3}
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def plan_of(labels: Any, tmp_path: Path) -> StepPlan:
    has_regions = any(isinstance(value, list) for value in labels.values())
    names = labels.keys() - {"background", "ignore"}
    order: dict[str, Any] = {"regions_class_order": list(range(1, len(names) + 1))} if has_regions else {}
    return step_plan(parse_dataset_json(write_json(tmp_path / "dataset.json", tiny_json(labels=labels, **order))))


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StepPlan]:
    folder = tmp_path_factory.mktemp("plans")
    kinds = {
        "labels": LABELS,
        "regions": REGIONS,
        "one": {"background": 0, "organ": 1},
        "ignore": {**LABELS, "ignore": 4},
        "ignored_regions": {**REGIONS, "ignore": 4},
    }
    return {name: plan_of(labels, folder / name) for name, labels in kinds.items()}


def test_steps_are_the_foreground_and_then_each_label(plans: Any) -> None:
    assert plans["labels"].steps == ((1, 2, 3), (1,), (2,), (3,))
    assert plans["labels"].owners == (None, "organ", "lesion", "vessel")
    assert plans["labels"].matters == {"organ": (0, 1), "lesion": (0, 2), "vessel": (0, 3)}


def test_a_region_that_is_the_foreground_and_a_single_label_have_no_step_of_their_own(plans: Any) -> None:
    assert plans["regions"].steps == ((1, 2, 3), (2, 3), (3,))
    assert plans["regions"].owners == (None, "core", "enhancing")
    assert set(plans["regions"].matters.values()) == {(0, 1, 2)}
    assert (plans["one"].steps, plans["one"].matters) == (((1,),), {"organ": (0,)})


def test_of_many_regions_the_last_are_not_tried_and_said(tmp_path: Path) -> None:
    labels = {"background": 0, **{f"r{k}": list(range(k, 12)) for k in range(1, 12)}}
    plan = plan_of(labels, tmp_path)
    assert len(plan.steps) == MAX_REGION_STEPS
    assert plan.left_out == ("r9", "r10", "r11")


def dice(reference: Any, prediction: Any, values: Any, ignored: int | None) -> float | None:
    """Returns nnU-Net's Dice, from the definition."""
    counts = reference != (-1 if ignored is None else ignored)
    one, other = np.isin(reference, values) & counts, np.isin(prediction, values) & counts
    n = one.sum() + other.sum()
    return 2 * float((one & other).sum()) / float(n) if n else None


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["labels", "regions", "one", "ignore", "ignored_regions"]), st.integers(0, 10**6), st.data())
def test_scores_are_those_of_masks_that_went_through_the_steps(plans: Any, kind: str, seed: int, data: Any) -> None:
    plan, random = plans[kind], np.random.default_rng(seed)
    highest = 1 if kind == "one" else 3
    shape = data.draw(st.sampled_from([(6, 7), (3, 6, 5), (1, 5, 8)]))
    thin = data.draw(st.sampled_from([0.0, 0.15, 0.3, 0.7]))
    prediction = np.where(random.random(shape) < thin, random.integers(1, highest + 1, shape), 0)
    top = 4 if plan.ignore_value else highest
    reference = np.where(random.random(shape) < 0.3, random.integers(1, top + 1, shape), 0)
    found = case_step_scores(reference, prediction, plan)
    for code in range(1 << len(plan.steps)):
        taken = [step for place, step in enumerate(plan.steps) if code >> place & 1]
        mask = postprocessed(prediction, taken)
        for name, values in plan.labels.items():
            key = "".join(str(code >> place & 1) for place in plan.matters[name])
            assert found[name][key] == pytest.approx(dice(reference, mask, values, plan.ignore_value), abs=1e-12)


def test_without_steps_they_are_the_plain_scores_and_the_reference_is_counted(plans: Any) -> None:
    reference, prediction = np.array([[1, 1, 0, 2, 4]]), np.array([[1, 0, 1, 0, 2]])
    found = case_step_scores(reference, prediction, plans["ignore"])
    assert plain_scores(found) == {"organ": 0.5, "lesion": 0.0, "vessel": None}
    assert [scores[REFERENCE_VOXELS] for scores in found.values()] == [2, 1, 0]


def test_a_case_without_anything_is_undefined(plans: Any) -> None:
    nothing = np.zeros((2, 3, 3), np.uint8)
    assert plain_scores(case_step_scores(nothing, nothing, plans["regions"])) == dict.fromkeys(
        ("whole", "core", "enhancing")
    )


@pytest.mark.parametrize("kind", ["labels", "regions", "one"])
def test_a_mask_that_cannot_be_read_scores_the_same_whatever_steps_are_taken(plans: Any, kind: str) -> None:
    plan = plans[kind]
    dices = dict(zip(plan.labels, (0.5, None, 0.0), strict=False))
    found = unchanged_scores(plan, dices)
    assert plain_scores(found) == dices
    for name, scores in found.items():
        assert {scores[key] for key in plan.combinations(name)} == {dices[name]}
        assert scores[REFERENCE_VOXELS] == (0 if dices[name] is None else 1)
        assert set(scores) == {REFERENCE_VOXELS, *plan.combinations(name)}
