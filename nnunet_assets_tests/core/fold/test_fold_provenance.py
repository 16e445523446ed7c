"""What tells two folds apart that must not be averaged, by digests and by the settings that are known."""

from dataclasses import replace
from typing import Any

import pytest

from nnunet_assets.core.fold.commit import BEST_CHECKPOINT, FINAL_CHECKPOINT, UNKNOWN, FoldInputs
from nnunet_assets.core.fold.fold_provenance import (
    FoldProvenance,
    different_settings,
    first_difference,
    groups_of,
    in_words,
    settings_of,
)
from nnunet_assets_tests.builders import INPUTS

WHOLE = {"initial_lr": "0.01", "batch_size": "4", "oversample_foreground_percent": "0.33"}


def native(validated: str = FINAL_CHECKPOINT, inputs: FoldInputs = INPUTS, **settings: Any) -> FoldProvenance:
    return FoldProvenance(inputs, validated, settings)


def adopted(training: str = "", **settings: str | None) -> FoldProvenance:
    """As its files prove it, with these settings in place of the whole batch's; None: it does not prove one."""
    known = {name: value for name, value in {**WHOLE, **settings}.items() if value is not None}
    inputs = FoldInputs(UNKNOWN, "plans", UNKNOWN, training or str(sorted(known.items())))
    return FoldProvenance(inputs, UNKNOWN, known, is_adopted=True)


class TestDifferences:
    def test_of_the_same_there_are_none(self) -> None:
        assert native().differences(native()) == []

    def test_are_named_by_what_was_trained_on_and_what_was_validated(self) -> None:
        other = native(BEST_CHECKPOINT, replace(INPUTS, raw_hash="other"))
        assert native().differences(other) == ["raw data", "the checkpoint that was validated"]
        assert native(inputs=replace(INPUTS, plans_hash=UNKNOWN)).differences(native()) == ["plans (unknown of one)"]

    def test_in_training_are_named_with_both_values_this_ones_first(self) -> None:
        left = native(inputs=replace(INPUTS, training_hash="left"), initial_lr=0.1, seed=3)
        right = native(inputs=replace(INPUTS, training_hash="right"), seed=4)
        assert left.differences(right) == ["training settings (initial_lr 0.1 and nnU-Net's own, seed 3 and 4)"]
        assert right.differences(left) == ["training settings (seed 4 and 3, initial_lr nnU-Net's own and 0.1)"]
        # Nothing that is known differs: no value is made up.
        assert replace(left, settings={}).differences(replace(right, settings={})) == ["training settings"]

    def test_in_other_things_say_nothing_of_settings(self) -> None:
        left, right = native(seed=3), native(inputs=replace(INPUTS, raw_hash="other"), seed=4)
        assert left.differences(right) == ["raw data"]

    def test_of_adopted_folds_are_what_both_prove(self) -> None:
        assert adopted().differences(adopted("another digest", initial_lr=None)) == []
        assert adopted().differences(adopted(initial_lr="1e-2")) == []
        assert adopted().differences(adopted(initial_lr="0.1")) == ["training settings (initial_lr 0.01 and 0.1)"]
        # Of one that was trained here, what it does not name is nnU-Net's own.
        here = replace(adopted("another digest", initial_lr=None), is_adopted=False)
        for one, other in ((adopted(), here), (here, adopted())):
            assert one.differences(other)[0].startswith("training settings (initial_lr ")


class TestTheShareOfOneGpu:
    @pytest.mark.parametrize("share", [{"batch_size": "2"}, {"batch_size": "2", "oversample_foreground_percent": "0"}])
    def test_may_be_all_that_two_adopted_folds_differ_in(self, share: dict[str, str]) -> None:
        assert adopted(**share).may_be_share_of(adopted())
        assert adopted().may_be_share_of(adopted(**share))

    def test_may_be_it_where_the_files_of_one_prove_less(self) -> None:
        assert adopted("vague", batch_size="2", initial_lr=None).may_be_share_of(adopted())

    def test_is_not_what_other_settings_or_data_differ_in(self) -> None:
        assert not adopted(batch_size="2", initial_lr="0.1").may_be_share_of(adopted())
        other = replace(adopted(batch_size="2"), inputs=replace(adopted().inputs, plans_hash="other"))
        assert not other.may_be_share_of(adopted())

    def test_is_no_matter_of_folds_that_were_trained_here(self) -> None:
        share = adopted(batch_size="2")
        assert not replace(share, is_adopted=False).may_be_share_of(adopted())
        assert not share.may_be_share_of(replace(adopted(), is_adopted=False))


class TestSettings:
    def test_of_an_adopted_fold_are_those_that_its_files_prove(self) -> None:
        assert settings_of({"settings": WHOLE, "overrides": {"initial_lr": 1}}) == WHOLE

    def test_of_others_are_overrides_and_options_that_change_the_result(self) -> None:
        options = {"seed": 0, "deterministic": True, "patience": None, "npz": True, "pretrained_weights": None}
        assert settings_of({"overrides": {"num_epochs": 5}, "options": options}) == {
            "num_epochs": 5,
            "seed": 0,
            "deterministic": True,
        }
        assert settings_of({"options": {"deterministic": False}}) == settings_of({}) == {}
        assert settings_of({"overrides": None, "options": None}) == {}

    def test_that_are_asked_for_are_as_those_of_a_fold(self) -> None:
        asked = FoldProvenance.asked(INPUTS, {"num_epochs": 5}, {"seed": 3})
        assert (asked.settings, asked.validated, asked.is_adopted) == ({"num_epochs": 5, "seed": 3}, UNKNOWN, False)

    @pytest.mark.parametrize(
        ("left", "right", "is_same"),
        [
            ("0.01", "1e-2", True),
            (1, "1", True),
            (0.5, "0.50", True),
            (1, 2, False),
            ("a", "b", False),
            (None, 0, False),
        ],
    )
    def test_are_equal_as_numbers_or_as_text(self, left: Any, right: Any, is_same: bool) -> None:
        assert different_settings({"x": left}, {"x": right}) == ({} if is_same else {"x": (left, right)})

    def test_that_only_one_has_differ_unless_both_must_prove_them(self) -> None:
        assert different_settings({"a": 1, "b": 2}, {"b": 2, "c": 3}) == {"a": (1, None), "c": (None, 3)}
        assert different_settings({"a": 1, "b": 2}, {"b": 3, "c": 3}, both_proved=True) == {"b": (2, 3)}

    def test_in_words_are_the_first_five(self) -> None:
        assert in_words({"x": (1, None)}) == "x 1 and nnU-Net's own"
        assert in_words(dict.fromkeys("abcdefg", (1, 2))).endswith("e 1 and 2 and 2 more")


class TestGroups:
    def test_are_the_largest_first_each_in_the_order_of_the_folds(self) -> None:
        odd = native(inputs=replace(INPUTS, raw_hash="other"))
        folds = {"fold_0": odd, "fold_1": native(), "fold_2": native(), "fold_3": odd, "fold_4": native()}
        assert groups_of(folds) == [["fold_1", "fold_2", "fold_4"], ["fold_0", "fold_3"]]
        assert groups_of({}) == []

    def test_take_in_a_fold_that_proves_less_where_it_fits_the_most(self) -> None:
        folds = {
            "fold_0": adopted("vague", batch_size=None),
            "fold_1": adopted(batch_size="2"),
            "fold_2": adopted(),
            "fold_3": adopted(),
        }
        assert groups_of(folds) == [["fold_0", "fold_2", "fold_3"], ["fold_1"]]

    def test_the_first_difference_is_from_the_first_that_differs(self) -> None:
        raw, plans = (native(inputs=replace(INPUTS, **{name: "other"})) for name in ("raw_hash", "plans_hash"))
        assert first_difference(native(), [native(), plans, raw]) == ["plans"]
        assert first_difference(native(), [native()]) == first_difference(native(), []) == []
