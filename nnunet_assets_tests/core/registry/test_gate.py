"""The gate before a champion's place: each rule kept, broken, and at its edge."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.registry.gate import (
    RULES,
    Verdict,
    judge_against,
    judge_cross_validation,
    judge_one_training,
    judge_round_trip,
    passes,
    reasons,
)

FIVE = tuple(f"fold_{k}" for k in range(5))
DICES = [0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.92, 0.94]


def scored(
    dices: Sequence[float | None], raw: str = "raw", splits: str = "splits", **others: Sequence[float | None]
) -> ComparedExperiment:
    by_label = {"organ": dices, **others}
    scores = {name: {f"c{k}": dice for k, dice in enumerate(label)} for name, label in by_label.items()}
    return ComparedExperiment("any", raw, splits, {"dice": scores, "iou": scores})


def against(champion: ComparedExperiment | None, candidate: ComparedExperiment | None, margin: float = 0.01) -> Verdict:
    return judge_against(champion, candidate, margin=margin, champion_name="version 1")


def test_a_version_passes_only_where_every_rule_was_looked_at_and_kept() -> None:
    kept = [Verdict(rule, True, "") for rule in RULES]
    assert passes(kept)
    assert not passes(kept[1:])
    broken = [*kept[1:], Verdict("cross_validation", False, "A fold is missing.")]
    assert not passes(broken)
    assert reasons(broken) == ["A fold is missing."]


def test_a_cross_validation_is_complete_and_of_the_folds_that_predict() -> None:
    assert judge_cross_validation(FIVE, FIVE, FIVE).passed
    assert judge_cross_validation(FIVE, FIVE, ("fold_all",)).passed
    missing = judge_cross_validation(FIVE, FIVE[:3], FIVE[:3])
    assert (missing.passed, missing.sentence) == (False, "3 of 5 folds are finished: fold_3, fold_4 missing.")
    other = judge_cross_validation(FIVE, FIVE, FIVE[:4])
    assert (other.passed, "fold_4 in one of the two only" in other.sentence) == (False, True)


def test_one_training_is_known_and_not_mixed() -> None:
    known = {"raw data": "a", "plans": "b", "splits": "c"}
    assert judge_one_training(known).passed
    assert "not known from which splits" in judge_one_training({**known, "splits": "unknown"}).sentence


def test_a_round_trip_is_equal_in_every_voxel_of_at_least_one_case() -> None:
    assert judge_round_trip(2, {}).passed
    for verdict in (judge_round_trip(0, {}), judge_round_trip(2, {}, "It could not be tried.")):
        assert not verdict.passed
    unequal = judge_round_trip(2, {"case 1": 3})
    assert (unequal.passed, unequal.numbers["unequal_voxels"]) == (False, 3)
    assert unequal.sentence == "3 voxels of 1 of 2 cases differ from the folds' own."


def test_the_first_version_has_nobody_to_be_compared_with() -> None:
    assert judge_against(None, scored(DICES)).passed
    assert judge_against(None, None).passed


def test_what_is_better_passes_and_what_is_clearly_worse_does_not() -> None:
    better = against(scored(DICES), scored([dice + 0.02 for dice in DICES]))
    assert better.passed
    assert better.numbers["difference"] == pytest.approx(0.02)
    worse = against(scored(DICES), scored([dice - 0.02 for dice in DICES]))
    assert not worse.passed
    assert "the foreground differs by -0.0200" in worse.sentence


def test_a_constant_loss_passes_within_the_margin_alone() -> None:
    loses = scored([dice - 0.008 for dice in DICES])
    assert against(scored(DICES), loses, margin=0.01).passed
    assert not against(scored(DICES), loses, margin=0.005).passed


def test_a_difference_that_the_data_cannot_tell_does_not_pass() -> None:
    noisy = scored([dice + (0.1 if k % 2 else -0.1) for k, dice in enumerate(DICES)])
    assert not against(scored(DICES), noisy).passed


def test_a_label_may_lose_twice_the_margin_and_no_more() -> None:
    champion = scored(DICES, tumour=DICES)
    gains = [dice + 0.03 for dice in DICES]
    assert against(champion, scored(gains, tumour=[dice - 0.015 for dice in DICES])).passed
    lost = against(champion, scored(gains, tumour=[dice - 0.025 for dice in DICES]))
    assert (lost.passed, "tumour differs by -0.0250" in lost.sentence) == (False, True)
    assert "the foreground" not in lost.sentence


def test_a_case_that_is_defined_in_one_of_the_two_alone_counts_against_who_hallucinates() -> None:
    champion = scored([*DICES, None])
    assert not against(champion, scored([*DICES, 0.0])).passed
    assert against(scored([*DICES, 0.0]), scored([*DICES, None])).passed
    nothing = scored(DICES, tumour=[None] * 8)
    assert "tumour is drawn where the champion rightly draws nothing" in (
        against(nothing, scored(DICES, tumour=[0.0, *[None] * 7])).sentence
    )
    assert against(scored(DICES, tumour=[0.0, *[None] * 7]), nothing).passed
    assert against(nothing, nothing).passed


def test_other_splits_are_compared_and_other_data_are_not() -> None:
    assert against(scored(DICES), scored(DICES, splits="others")).passed
    for champion in (scored(DICES, raw="others"), scored(DICES, raw="unknown")):
        assert "other raw data" in against(champion, scored(DICES)).sentence
    assert not against(scored(DICES, raw="unknown"), scored(DICES, raw="unknown")).passed


def test_what_cannot_be_compared_stays_challenger_with_the_reason() -> None:
    assert "of version 1 are not known here" in against(None, scored(DICES)).sentence
    assert "of this version are not known here" in against(scored(DICES), None).sentence
    few = against(scored(DICES[:5]), scored(DICES[:5]))
    assert (few.passed, "fewer than 6 patients" in few.sentence) == (False, True)


@settings(max_examples=30)
@given(st.lists(st.floats(0.0, 1.0) | st.none(), min_size=6, max_size=12), st.integers(0, 11), st.floats(0.0, 1.0))
def test_no_failure_of_a_candidate_makes_it_pass(dices: list[float | None], place: int, worse: float) -> None:
    champion = scored([0.7] * len(dices))
    place %= len(dices)
    failing = [*dices]
    failing[place] = 0.0 if dices[place] is None else min(dices[place], worse)
    if not against(champion, scored(dices)).passed:
        assert not against(champion, scored(failing)).passed


def on_test_sets(champion: ComparedExperiment | None, candidate: ComparedExperiment | None) -> Verdict:
    """Returns the verdict on a version whose raw data are other than the champion's."""
    return judge_against(
        scored(DICES, raw="before"), scored(DICES), champion_name="version 1", test_sets=(champion, candidate)
    )


def test_of_other_raw_data_the_same_test_set_decides() -> None:
    better, worse = ([dice + shift for dice in DICES] for shift in (0.02, -0.02))
    found = on_test_sets(scored(DICES, raw="test set"), scored(better, raw="test set"))
    assert found.passed
    assert "above version 1 on 8 cases of the test set" in found.sentence
    found = on_test_sets(scored(DICES, raw="test set"), scored(worse, raw="test set"))
    assert (found.passed, "the foreground differs by -0.0200" in found.sentence) == (False, True)
    # Of the same raw data nobody asks for it.
    same = judge_against(
        scored(DICES), scored(DICES), champion_name="version 1", test_sets=(scored(DICES), scored(worse))
    )
    assert same.passed


def test_of_other_raw_data_and_no_test_set_or_another_one_it_stays_challenger_with_a_sentence() -> None:
    other = on_test_sets(scored(DICES, raw="before"), scored(DICES, raw="test set"))
    assert not other.passed
    assert other.sentence == (
        "version 1 was scored on other raw data, with which it cannot be compared; nor on the test set, which is "
        "another one than that of version 1."
    )
    for champion, candidate, who in (
        (None, scored(DICES), "version 1"),
        (scored(DICES), None, "this version"),
        (None, None, "version 1"),
    ):
        found = on_test_sets(champion, candidate)
        assert not found.passed
        assert f"nor on a test set, since {who} has predicted none with references" in found.sentence


def test_a_verdict_is_borne_as_a_line_and_read_back() -> None:
    for verdict, line in (
        (Verdict("round_trip", True, "2 cases: equal."), "passed: 2 cases: equal."),
        (Verdict("round_trip", False, "It failed."), "failed: It failed."),
    ):
        assert verdict.record == line
        assert Verdict.recorded("round_trip", line) == verdict
    assert not Verdict.recorded("round_trip", "perhaps: It failed.").passed
    none = Verdict.recorded("round_trip", None)
    assert (none.passed, none.sentence) == (False, "The rule round_trip was not looked at.")


def test_what_is_kept_twice_is_kept_and_nothing_else_passes() -> None:
    kept = [Verdict(rule, True, "") for rule in RULES]
    assert passes([*kept, kept[0]])
    assert not passes([*kept, Verdict("another", True, "")])
    assert reasons(kept) == []


def test_each_verdict_says_what_it_rests_on() -> None:
    one = judge_cross_validation(FIVE[:1], FIVE[:1], FIVE[:1])
    assert (one.rule, one.sentence) == ("cross_validation", "The fold is finished and scored.")
    assert judge_cross_validation(FIVE, FIVE, FIVE).sentence == "All 5 folds are finished and scored."
    assert judge_cross_validation(FIVE, FIVE[:4], FIVE).numbers == {"folds": 4, "folds_expected": 5}
    assert not judge_cross_validation(FIVE, FIVE, ()).passed
    both = judge_round_trip(1, {"case 1": 3, "case 2": 4})
    assert both.numbers == {"cases": 1, "unequal_cases": 2, "unequal_voxels": 7}
    assert both.sentence == "7 voxels of 2 of 1 case differ from the folds' own."
    assert judge_round_trip(1, {}).sentence == "1 case, equal voxel by voxel to the folds' own."
    assert judge_round_trip(0, {}).sentence == "There was no case to predict."
    assert not judge_one_training({"raw data": "unknown"}).passed
    assert judge_one_training({"raw data": "unknown in other words", "plans": "a"}).passed


def test_what_passes_says_by_how_much_and_on_what() -> None:
    found = against(scored([0.5] * 8), scored([0.75] * 8))
    assert found.numbers == {"cases": 8, "margin": 0.01, "difference": 0.25, "low": 0.25, "high": 0.25}
    assert found.sentence == (
        "Dice 0.2500 above version 1 on 8 shared cases, lower end of the 95 % interval 0.2500, margin 0.01."
    )
    nothing = against(scored([None] * 8), scored([None] * 8))
    assert nothing.passed
    assert nothing.sentence == (
        "Dice 0.0000 above version 1 on 0 shared cases, lower end of the 95 % interval 0.0000, margin 0.01."
    )
    assert judge_against(None, None).sentence == "There is no champion yet."


def test_a_loss_of_the_whole_margin_is_too_much_and_a_label_may_lose_twice_it() -> None:
    champion, half = scored([0.75] * 8), scored([0.5] * 8)
    assert [against(champion, half, margin).passed for margin in (0.2, 0.25, 0.3)] == [False, False, True]
    # The foreground is the mean of both labels: it loses half of what the lesion does.
    with_lesion, worse = scored([0.75] * 8, lesion=[0.75] * 8), scored([0.75] * 8, lesion=[0.5] * 8)
    assert [against(with_lesion, worse, margin).passed for margin in (0.12, 0.125, 0.13)] == [False, False, True]
    found = against(with_lesion, worse, margin=0.125)
    assert found.sentence == (
        "Worse than version 1, as far as can be told: lesion differs by -0.2500, and its 95 % interval begins at "
        "-0.2500, not above -0.25; the foreground differs by -0.1250, and its 95 % interval begins at -0.1250, not "
        "above -0.125."
    )
    assert found.numbers["low"] == -0.125


def test_whatever_cannot_be_compared_is_no_pass() -> None:
    for champion, candidate in ((None, scored(DICES)), (scored(DICES), None), (scored(DICES[:5]), scored(DICES[:5]))):
        assert not against(champion, candidate).passed
    for champion in (scored(DICES, raw="others"), scored(DICES, raw="unknown")):
        assert not against(champion, scored(DICES)).passed
    assert not against(scored(DICES), scored(DICES, raw="unknown")).passed
    strangers = ComparedExperiment("any", "raw", "splits", {"dice": {"organ": {"x": 0.5}}})
    found = against(scored(DICES), strangers)
    assert (found.passed, found.sentence.startswith("It cannot be compared with version 1: ")) == (False, True)
    nothing = scored(DICES, tumour=[None] * 8)
    assert not against(nothing, scored(DICES, tumour=[0.0, *[None] * 7])).passed
