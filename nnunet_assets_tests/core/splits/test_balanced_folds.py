from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.splits import balanced_folds
from nnunet_assets.core.splits.balanced_folds import Features, deal

NAMES = st.lists(st.text("abcXYZ019_-", min_size=1, max_size=6), min_size=2, max_size=40, unique=True)
VOLUMES = st.one_of(st.just(0.0), st.floats(0.001, 1e4))


@st.composite
def cohorts(draw: Any, grouped: Any) -> Any:
    """Draws cases, folds, seed, groups (at least as many as folds) and the volumes of two labels."""
    cases = draw(NAMES)
    groups = {case: draw(st.sampled_from("ABCDEFGH")) for case in cases} if grouped else {}
    n_units = len(set(groups.values())) if grouped else len(cases)
    if n_units < 2:
        groups[cases[0]], groups[cases[1]] = "A", "B"
        n_units = len(set(groups.values()))
    n_folds = draw(st.integers(2, min(n_units, 6)))
    volumes = {case: {"organ": draw(VOLUMES), "lesion": draw(VOLUMES)} for case in cases}
    return cases, n_folds, draw(st.integers(0, 9)), groups, draw(st.sampled_from([volumes, {}]))


def sizes(folds: Any, n_folds: int) -> Any:
    counts = Counter(folds.values())
    return [counts[fold] for fold in range(n_folds)]


@given(cohorts(grouped=False))
def test_single_cases_fill_folds_that_differ_by_one_case_at_most(cohort: Any) -> None:
    cases, n_folds, seed, groups, volumes = cohort
    folds = deal(cases, n_folds, seed, groups=groups, label_volumes_ml=volumes)
    assert set(folds) == set(cases)
    assert max(sizes(folds, n_folds)) - min(sizes(folds, n_folds)) <= 1


@given(cohorts(grouped=True))
def test_groups_stay_together_and_folds_differ_by_the_largest_group_at_most(cohort: Any) -> None:
    cases, n_folds, seed, groups, volumes = cohort
    folds = deal(cases, n_folds, seed, groups=groups, label_volumes_ml=volumes)
    assert set(folds) == set(cases)
    assert len({(groups[case], fold) for case, fold in folds.items()}) == len(set(groups.values()))
    assert min(sizes(folds, n_folds)) > 0
    largest = max(Counter(groups.values()).values())
    assert max(sizes(folds, n_folds)) - min(sizes(folds, n_folds)) <= largest


@given(cohorts(grouped=True), st.randoms())
def test_the_order_of_the_cases_changes_nothing(cohort: Any, random: Any) -> None:
    cases, n_folds, seed, groups, volumes = cohort
    shuffled = random.sample(cases, len(cases))
    one = deal(cases, n_folds, seed, groups=groups, label_volumes_ml=volumes)
    assert deal(shuffled, n_folds, seed, groups=groups, label_volumes_ml=volumes) == one


@given(st.integers(2, 6), st.lists(st.floats(0.001, 1e4), min_size=6, max_size=20), st.integers(0, 20))
def test_a_label_that_enough_cases_have_is_in_every_fold_as_often(n_folds: Any, present_ml: Any, n_absent: Any) -> None:
    volumes = {f"with_{n}": {"lesion": ml} for n, ml in enumerate(present_ml)}
    volumes |= {f"without_{n}": {"lesion": 0.0} for n in range(n_absent)}
    folds = deal(list(volumes), n_folds, 0, groups={}, label_volumes_ml=volumes)
    present = sizes({case: fold for case, fold in folds.items() if volumes[case]["lesion"]}, n_folds)
    assert min(present) > 0
    assert max(present) - min(present) <= 1


def test_small_medium_and_large_volumes_are_spread() -> None:
    # Nine cases with 1 to 9 ml: the thirds are 1-3, 4-6, 7-9, and each of three folds gets one of each.
    volumes = {f"case_{ml}": {"lesion": float(ml)} for ml in range(1, 10)}
    folds = deal(list(volumes), 3, 0, groups={}, label_volumes_ml=volumes)
    for fold in range(3):
        held = sorted(int(volumes[case]["lesion"]) for case in volumes if folds[case] == fold)
        assert [(ml - 1) // 3 for ml in held] == [0, 1, 2]


def test_another_seed_deals_otherwise() -> None:
    cases = [f"case_{n}" for n in range(20)]
    dealt = [deal(cases, 5, seed, groups={}, label_volumes_ml={}) for seed in (0, 0, 1)]
    assert dealt[0] == dealt[1] != dealt[2]


@given(cohorts(grouped=True), st.data())
def test_extended_folds_keep_what_they_had_and_new_cases_join_their_group(cohort: Any, data: Any) -> None:
    cases, n_folds, seed, groups, volumes = cohort
    folds = deal(cases, n_folds, seed, groups=groups, label_volumes_ml={})
    new = data.draw(st.lists(st.text("qrs", min_size=7, max_size=9), min_size=1, max_size=9, unique=True))
    groups |= {case: data.draw(st.sampled_from("ABXYZ")) for case in new}
    volumes = {case: volumes.get(case, {"organ": 1.0, "lesion": 2.0}) for case in [*cases, *new]} if volumes else {}
    extended = deal([*cases, *new], n_folds, seed, groups=groups, label_volumes_ml=volumes, dealt=folds)
    assert {case: extended[case] for case in cases} == folds
    assert set(extended) == {*cases, *new}
    assert len({(groups[case], fold) for case, fold in extended.items()}) == len(set(groups.values()))


def test_new_cases_fill_the_smallest_folds() -> None:
    dealt = {"a": 0, "b": 0, "c": 1}
    assert deal(["a", "b", "c", "d"], 2, 0, groups={}, label_volumes_ml={}, dealt=dealt) == {**dealt, "d": 1}
    five = deal(["a", "b", "c", "d", "e"], 2, 0, groups={}, label_volumes_ml={}, dealt=dealt)
    assert sizes(five, 2) == [3, 2]


def test_the_same_cases_are_dealt_alike_by_every_version() -> None:
    cases = [f"c{number:02}" for number in range(14)]
    patients = {case: f"p{number // 2}" for number, case in enumerate(cases[:6])}
    volumes = {
        case: {"organ": number * 7 % 10 / 2, "lesion": 0.0 if number % 3 else 0.05 * (number + 1)}
        for number, case in enumerate(cases)
    }
    for groups, label_volumes_ml, expected in (
        (patients, volumes, "00112221121000"),
        ({}, volumes, "00110221011202"),
        (patients, {}, "11220012001102"),
    ):
        folds = deal(cases, 3, 7, groups=groups, label_volumes_ml=label_volumes_ml)
        assert "".join(str(folds[case]) for case in cases) == expected


def test_a_trait_counts_the_more_the_rarer_it_is() -> None:
    # The first fold holds 8 of 10 organs, the second 1 of 2 lesions, both four cases: a case with both goes to the
    # first, as (2 * 8 + 1) / 10² + 1 / 2² is less than 1 / 10² + (2 * 1 + 1) / 2².
    held: list[Features] = [Counter({"cases": 4, "organ": 8}), Counter({"cases": 4, "lesion": 1})]
    unit: Features = Counter({"cases": 1, "organ": 1, "lesion": 1})
    total: Features = Counter({"cases": 20, "organ": 10, "lesion": 2})
    assert balanced_folds._best_fold(unit, held, total, n_left=5) == 0
