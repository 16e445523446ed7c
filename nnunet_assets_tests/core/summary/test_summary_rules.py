"""Which folds may be summarized together; the odd one is named, with what to do about it."""

from dataclasses import replace
from typing import Any

import pytest

from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, UNKNOWN, FoldInputs
from nnunet_assets.core.fold.fold_provenance import FoldProvenance
from nnunet_assets.core.summary.summary_rules import check_cases, check_fold_names, check_inputs
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, build_fold_result

WHOLE = {"initial_lr": "0.01", "batch_size": "4", "oversample_foreground_percent": "0.33"}


def adopted(*, plans: str = "plans", is_adopted: bool = True, **settings: str) -> FoldProvenance:
    known = {**WHOLE, **settings}
    inputs = FoldInputs(UNKNOWN, plans, UNKNOWN, str(sorted(known.items())))
    return FoldProvenance(inputs, UNKNOWN, known, is_adopted=is_adopted)


def refusal(*odd: FoldProvenance, of: tuple[FoldProvenance, ...] = (adopted(), adopted())) -> str:
    with pytest.raises(SummaryError) as caught:
        check_inputs("the model", {f"fold_{index}": provenance for index, provenance in enumerate([*odd, *of])})
    return str(caught.value)


@pytest.mark.parametrize("share", [{"batch_size": "2"}, {"batch_size": "2", "oversample_foreground_percent": "0.0"}])
def test_folds_whose_gpus_share_was_taken_for_the_whole_are_to_be_adopted_again(share: dict[str, Any]) -> None:
    message = refusal(adopted(**share))
    assert "fold_0 and fold_1, fold_2 differ in training settings" in message
    assert "adopt them again (`nnunet-assets adopt`). Where they differ still: train fold_0 again" in message
    assert "adopt them again" in refusal(adopted(**share), of=(adopted(),))


@pytest.mark.parametrize(
    ("odd", "of"),
    [
        (adopted(batch_size="2", initial_lr="0.1"), adopted()),
        (adopted(batch_size="2", plans="other plans"), adopted()),
        (adopted(batch_size="2"), adopted(is_adopted=False)),
    ],
)
def test_folds_that_differ_in_more_or_were_trained_here_are_not(odd: FoldProvenance, of: FoldProvenance) -> None:
    assert "adopt" not in refusal(odd, of=(of, of))


def trained(*names: str) -> dict[str, FoldProvenance]:
    """Folds of these raw data."""
    return {
        f"fold_{index}": FoldProvenance(replace(INPUTS, raw_hash=name), FINAL_CHECKPOINT)
        for index, name in enumerate(names)
    }


def refused(*names: str) -> str:
    with pytest.raises(SummaryError) as caught:
        check_inputs("the model", trained(*names))
    return str(caught.value)


def test_folds_of_the_same_may_be_averaged_and_none_at_all() -> None:
    check_inputs("the model", trained("a", "a", "a"))
    check_inputs("the model", trained("a"))
    check_inputs("the model", {})


def test_the_odd_ones_are_to_be_trained_again() -> None:
    assert refused("b", "a", "a", "c") == (
        "The folds of the model must not be averaged: fold_0 and fold_1, fold_2 differ in raw data; fold_3 and fold_1, "
        "fold_2 differ in raw data. Train fold_0, fold_3 again, as the others were."
    )


def test_without_a_largest_group_nobody_is_blamed() -> None:
    assert refused("b", "a").endswith(
        "fold_1 and fold_0 differ in raw data. No group of equal folds is the largest: decide which is right and train "
        "the others again."
    )


def test_folds_are_expected_and_each_is_there_once() -> None:
    check_fold_names(EXPERIMENT, ["fold_0", "fold_1"], ["fold_1", "fold_0"])
    for expected, found, sentence in (
        (["fold_0", "fold_1"], [], r"No fold of .* is finished.*Train at least one of fold_0, fold_1\."),
        (
            ["fold_0"],
            ["fold_0", "fold_2", "fold_1"],
            r"^fold_1, fold_2 of .* is not among the expected folds \(fold_0\)",
        ),
        (["fold_0", "fold_1"], ["fold_0", "fold_1", "fold_0"], r"^fold_0 of .* is there twice"),
    ):
        with pytest.raises(SummaryError, match=sentence):
            check_fold_names(EXPERIMENT, expected, found)


def test_a_case_is_validated_in_one_fold_and_has_the_labels_of_all_others() -> None:
    one, two = build_fold_result("fold_0", {"a": {"x": 0.5}}), build_fold_result("fold_1", {"b": {"x": 0.5}})
    check_cases(EXPERIMENT, [one, two])
    again = build_fold_result("fold_2", {"a": {"x": 0.5}, "c": {"x": 0.5}})
    with pytest.raises(SummaryError, match=r"is validated in one fold, but not a in fold_0 and fold_2\. The folds"):
        check_cases(EXPERIMENT, [one, two, again])
    other = build_fold_result("fold_3", {"d": {"y": 0.5, "x": 0.5}})
    with pytest.raises(
        SummaryError, match=r"d in fold_3 of .* has scores for \['x', 'y'\], other cases for \['x'\]\. Run"
    ):
        check_cases(EXPERIMENT, [one, two, other])
