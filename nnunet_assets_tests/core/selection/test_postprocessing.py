"""Which steps are taken: the rule against cases written out, and each thing that nnU-Net's own decision does wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.evaluation.step_scores import StepPlan, case_step_scores, step_plan
from nnunet_assets.core.selection.postprocessing import PostprocessedScores
from nnunet_assets_tests.raw_builders import tiny_json, write_json

NAN = float("nan")


def plan_of(tmp_path: Path, labels: dict[str, Any]) -> StepPlan:
    names = labels.keys() - {"background", "ignore"}
    has_regions = any(isinstance(value, list) for value in labels.values())
    order: dict[str, Any] = {"regions_class_order": list(range(1, len(names) + 1))} if has_regions else {}
    return step_plan(parse_dataset_json(write_json(tmp_path / "dataset.json", tiny_json(labels=labels, **order))))


@pytest.fixture
def labels(tmp_path: Path) -> StepPlan:
    return plan_of(tmp_path, {"background": 0, "organ": 1, "lesion": 2})


@pytest.fixture
def regions(tmp_path: Path) -> StepPlan:
    return plan_of(tmp_path, {"background": 0, "whole": [1, 2], "core": 2})


def scored(plan: StepPlan, images: Sequence[tuple[Any, Any]]) -> PostprocessedScores:
    """Of references and predictions, each case of a patient of its own."""
    cases = [case_step_scores(np.array([one]), np.array([other]), plan) for one, other in images]
    return PostprocessedScores.of(plan, cases, np.arange(len(cases)), list(plan.labels))


def taken(found: PostprocessedScores) -> tuple[Any, ...]:
    return found.steps(int(found.taken(np.ones((1, found.n_units)))[0]))


def row(text: str) -> list[int]:
    """Returns a row of voxels: `11.2`, with a dot for background."""
    return [0 if letter == "." else int(letter) for letter in text]


FALSE_ISLAND = row("1111...22..."), row("1111.1.22...")
FALSE_ISLANDS = [(row("1111...22..." + "." * k), row("1111.1.22..." + "." * k)) for k in range(8)]


def test_a_step_that_helps_every_patient_is_taken(labels: StepPlan) -> None:
    found = scored(labels, FALSE_ISLANDS)
    assert taken(found) == ((1,),)
    foreground, organ, lesion = found.effects()
    # The largest component of the foreground is the organ: the lesion beside it would go.
    assert (foreground.is_taken, foreground.because) == (False, "it worsens the mean")
    assert (organ.is_taken, organ.owner, organ.because) == (
        True,
        "organ",
        "its gain is told from 0, and no label loses",
    )
    assert organ.gain == pytest.approx((1 - 8 / 9) / 2)
    assert (organ.n_better, organ.n_worse, organ.interval.low) == (8, 0, pytest.approx(organ.gain))
    assert (lesion.is_taken, lesion.because, lesion.interval) == (False, "it changes no score", None)


def test_a_label_that_is_in_no_case_has_no_say(tmp_path: Path) -> None:
    """nnU-Net's foreground mean becomes NaN, which no mean is above, and its first step is silently never taken."""
    plan = plan_of(tmp_path, {"background": 0, "organ": 1, "never": 2})
    cases = [(row("111...."), row("111..1.")) for _ in range(8)]
    found = scored(plan, cases)
    assert taken(found) == ((1, 2),)
    assert found.effects()[0].gain == pytest.approx(1 - 6 / 7)
    assert found.effects()[0].labels["never"].before is None


def test_a_step_that_makes_a_hole_in_another_region_is_refused(regions: StepPlan) -> None:
    """nnU-Net looks at the core alone, and fills its false island with background, in the middle of the whole."""
    cases = [(row("1111221111"), row("1211221111")) for _ in range(8)]
    found = scored(regions, cases)
    assert taken(found) == ()
    _, core = found.effects()
    assert core.labels["core"].after > core.labels["core"].before
    assert core.labels["whole"].after < core.labels["whole"].before
    assert core.because == "it worsens the mean of whole"


def test_a_single_hole_is_refused_though_the_means_rise(regions: StepPlan) -> None:
    # In all but one case the island lies outside of everything, where whole and core gain.
    cases = [(row("111122111..."), row("111122111.2.")) for _ in range(30)]
    assert taken(scored(regions, cases)) == ((1, 2),)
    ending = row("111122111..."), row("121122111...")
    apart = [(row("111122...1111"), row("111122.2.1111")) for _ in range(30)]
    assert taken(scored(regions, apart)) == ((2,),)
    found = scored(regions, [*apart, ([*ending[0], 0], [*ending[1], 0])])
    assert taken(found) == ()
    assert found.effects()[1].because == "it makes holes in another label or region, in 1 patient"


def test_no_case_drops_out_of_a_mean(labels: StepPlan) -> None:
    """nnU-Net compares the mean of eight cases with that of six, and shows the difference as what the step gains."""
    lesion_there, lesion_drawn = (row("111111.2"), row("111111.2")), (row("111111.."), row("111111.2"))
    lesion = scored(labels, [lesion_there] * 6 + [lesion_drawn] * 2).effects()[0].labels["lesion"]
    assert (lesion.before, lesion.n_defined_before, lesion.n_false_before) == (0.75, 8, 2)
    assert (lesion.after, lesion.n_defined_after, lesion.n_false_after) == (0.0, 6, 0)
    # Of the same eight cases: two rise from 0 to 1, as there is nothing to find; six fall from 1 to 0.
    assert lesion.gain == pytest.approx((2 - 6) / 8)


def test_a_step_that_harms_half_of_the_patients_is_not_taken(tmp_path: Path) -> None:
    """nnU-Net takes it, as the mean rises by whatever little."""
    plan = plan_of(tmp_path, {"background": 0, "lesion": 1})
    helped = row("1111......"), row("1111..111.")
    harmed = row("1111.11..."), row("1111.11...")
    found = scored(plan, [helped] * 5 + [harmed] * 5)
    step = found.effects()[0]
    assert step.gain > 0
    assert (step.n_better, step.n_worse) == (5, 5)
    assert (taken(found), step.because) == ((), "its gain cannot be told from 0")


def test_later_steps_are_looked_at_on_what_earlier_ones_left(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"background": 0, "organ": 1, "lesion": 2})
    # The foreground's step removes 11 and the island of 2 with it, so that the step on 2 changes nothing any more.
    found = scored(plan, [(row("....1112.."), row("1.2.1112..")) for _ in range(8)])
    assert taken(found) == ((1, 2),)
    assert [one.because for one in found.effects()[1:]] == ["it changes no score"] * 2


def test_every_weighting_is_decided_by_the_steps_that_it_takes_itself(labels: StepPlan) -> None:
    # The first take none; the others take the foreground's, after which the first would take that of the lesion.
    first, other = (row("12.2.1.1.."), row("12.22121..")), (row("11.12....."), row("11.12..2.."))
    found = scored(labels, [first] * 7 + [other] * 7)
    weights = np.repeat([[1.0, 0.0], [0.0, 1.0]], 7, axis=1)
    assert [found.steps(int(one)) for one in found.taken(weights)] == [(), ((1, 2),)]


def test_of_five_patients_no_step_is_taken(labels: StepPlan) -> None:
    found = scored(labels, FALSE_ISLANDS[:5])
    assert taken(found) == ()
    assert found.effects()[1].because == "there are 5 patients, and it takes 6 to tell a gain from chance"
    assert taken(scored(labels, FALSE_ISLANDS[:6])) == ((1,),)


def test_cases_of_one_patient_are_one_vote(labels: StepPlan) -> None:
    cases = [case_step_scores(np.array([one]), np.array([other]), labels) for one, other in FALSE_ISLANDS]
    found = PostprocessedScores.of(labels, cases, np.array([0, 0, 0, 1, 1, 2, 3, 4]), list(labels.labels))
    assert taken(found) == ()


def test_labels_that_are_not_compared_have_no_say(labels: StepPlan) -> None:
    # The foreground's step loses the lesion, which other candidates do not have.
    cases = [case_step_scores(np.array([one]), np.array([other]), labels) for one, other in FALSE_ISLANDS]
    found = PostprocessedScores.of(labels, cases, np.arange(8), ["organ"])
    assert taken(found) == ((1, 2),)


def test_where_no_label_is_anywhere_a_step_changes_nothing(labels: StepPlan) -> None:
    found = scored(labels, [(row("...."), row("...."))] * 7)
    assert taken(found) == ()
    foreground = found.effects()[0]
    assert (foreground.gain, foreground.because, foreground.interval) == (0.0, "it changes no score", None)
    assert foreground.labels["organ"].gain == 0.0


def test_one_patient_or_none_takes_no_step_and_its_gain_is_its_own(labels: StepPlan) -> None:
    found = scored(labels, FALSE_ISLANDS[:1])
    organ = found.effects()[1]
    assert organ.gain == pytest.approx((1 - 8 / 9) / 2)
    assert (organ.interval, organ.n_better, organ.n_worse, organ.is_taken) == (None, 1, 0, False)
    seven = scored(labels, FALSE_ISLANDS[:7])
    assert list(seven.taken(np.array([[0.0] * 7, [1.0] + [0.0] * 6, [5.0] + [0.0] * 6, [6.0] + [0.0] * 6]))) == [
        0,
        0,
        0,
        2,
    ]


def test_scores_after_the_steps_are_summed_by_patient(labels: StepPlan) -> None:
    images = [(row("11.2...."), row("11.2.1..")), (row("11......"), row("11.2....")), (row("...."), row("...."))]
    cases = [case_step_scores(np.array([one]), np.array([other]), labels) for one, other in images]
    found = PostprocessedScores.of(labels, cases, np.array([0, 1, 1]), list(labels.labels))
    assert found.n_units == 2
    for step, organ in ((0, 0.8), (2, 1.0)):
        sums, numbers = found.after(step)
        assert sums == pytest.approx(np.array([[organ, 1.0], [1.0, 0.0]]))
        assert numbers.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    # The foreground's step leaves the organ alone: the lesion is lost in the first, and rightly empty in the second.
    sums, numbers = found.after(1)
    assert (sums.tolist(), numbers.tolist()) == ([[1.0, 0.0], [1.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]])


def test_patients_who_lose_are_counted_and_those_who_stay_are_not(labels: StepPlan) -> None:
    loses, stays = (row("11.2...."), row("11.2....")), (row("11......"), row("11......"))
    foreground = scored(labels, [loses] * 3 + [stays] * 5).effects()[0]
    assert (foreground.n_better, foreground.n_worse, foreground.gain) == (0, 3, -3 / 16)
    assert foreground.because == "its gain cannot be told from 0"
    assert foreground.interval.low < foreground.gain < foreground.interval.high
    assert round(foreground.interval.low, 9) == foreground.interval.low


def test_a_step_is_described_on_what_the_steps_before_it_left(labels: StepPlan) -> None:
    # The organ's step is taken; the lesion's, after it, gains what the lesion's alone would.
    found = scored(labels, [(row("1111...22..." + "." * k), row("1111.1.22.2." + "." * k)) for k in range(8)])
    assert [one.is_taken for one in found.effects()] == [False, True, True]
    lesion = found.effects()[2]
    assert list(lesion.labels) == ["lesion"]
    assert (lesion.labels["lesion"].before, lesion.labels["lesion"].after) == (pytest.approx(0.8), 1.0)
    assert found.steps(6) == ((1,), (2,))
    assert (found.steps(0), found.steps(1)) == ((), ((1, 2),))


def test_a_hole_counts_where_its_patient_does(regions: StepPlan) -> None:
    apart = [(row("111122...1111"), row("111122.2.1111")) for _ in range(7)]
    found = scored(regions, [*apart, (row("111122......."), row("121122......."))])
    assert list(found.taken(np.array([[1.0] * 7 + [0.0], [1.0] * 8, [1.0] * 7 + [2.0]]))) == [2, 0, 0]
    holed = found.effects()[1]
    assert holed.because == "it makes holes in another label or region, in 1 patient"
    two = scored(regions, [*apart * 4, *[(row("111122......."), row("121122......."))] * 2])
    assert two.effects()[1].because == "it makes holes in another label or region, in 2 patients"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_what_is_taken_is_what_the_rule_says_of_cases_written_out(seed: int, is_region: bool) -> None:
    random = np.random.default_rng(seed)
    names = {"whole": (1, 2, 3), "core": (2, 3), "rim": (3,)} if is_region else {"organ": (1,), "lesion": (2,)}
    owners = (None, "core", "rim") if is_region else (None, "organ", "lesion")
    matters = dict.fromkeys(names, (0, 1, 2)) if is_region else {"organ": (0, 1), "lesion": (0, 2)}
    plan = StepPlan(((9,), (8,), (7,)), owners, names, matters)
    unit = np.unique(random.integers(0, 9, random.integers(7, 10)), return_inverse=True)[1]
    weights = random.integers(0, 4, unit.max() + 1).astype(float)
    odd = random.choice([0.0, 0.03, 0.2])

    def score(key: str) -> float | None:
        # Mostly better with each step, so that some are taken.
        anything = [None, 0.0, 0.25, 0.5, 1.0][random.integers(5)]
        return anything if random.random() < odd else 0.5 + 0.15 * key.count("1")

    cases = [
        {name: {"reference_voxels": 1, **{key: score(key) for key in plan.combinations(name)}} for name in names}
        for _ in unit
    ]
    found = PostprocessedScores.of(plan, cases, unit, list(names))
    assert found.taken(weights[None])[0] == plainly_taken(plan, cases, unit, weights)


def plainly_taken(plan: StepPlan, cases: Any, unit: Any, weights: Any) -> int:
    """Returns the same, step by step and case by case."""
    from scipy.special import stdtrit

    def scores(case: int, code: int) -> dict[str, float]:
        keys = {name: "".join(str(code >> k & 1) for k in places) for name, places in plan.matters.items()}
        return {name: 1.0 if cases[case][name][key] is None else cases[case][name][key] for name, key in keys.items()}

    rows = [case for case in range(len(cases)) for _ in range(int(weights[unit[case]]))]
    n = int(weights.sum())
    taken_now = 0
    for place, owner in enumerate(plan.owners):
        after = taken_now | 1 << place
        pairs = {case: (scores(case, taken_now), scores(case, after)) for case in rows}
        changes = {case: {name: new[name] - old[name] for name in plan.labels} for case, (old, new) in pairs.items()}
        if n < 6:
            continue
        gains = {case: float(np.mean(list(change.values()))) for case, change in changes.items()}
        mean = float(np.mean([gains[case] for case in rows]))
        moved = [sum(gains[k] - mean for k in gains if unit[k] == one) / len(rows) for one in range(unit.max() + 1)]
        error = (sum(w * one**2 for w, one in zip(weights, moved, strict=True)) * n / (n - 1)) ** 0.5
        is_gain = mean - stdtrit(n - 1, 0.975) * error > 1e-12
        is_worse = any(np.mean([changes[case][name] for case in rows]) < -1e-12 for name in plan.labels)
        others = [name for name in plan.labels if owner not in (None, name)]
        if is_gain and not is_worse and not any(changes[case][name] < -1e-12 for case in rows for name in others):
            taken_now = after
    return taken_now
