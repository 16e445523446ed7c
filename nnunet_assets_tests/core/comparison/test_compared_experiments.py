"""Which experiments may be compared, and the scores that all of them have."""

from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment, compatible, shared_scores
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

VALIDATION = {"fold_0": frozenset({"a", "b"}), "fold_1": frozenset({"c"})}
OTHER = {"fold_0": frozenset({"a", "c"}), "fold_1": frozenset({"b"})}


def experiment(name: str, scores: Any = None, **fields: Any) -> ComparedExperiment:
    """With the Dice of one label, A, in three cases, or with these labels."""
    labels = {"A": {"a": 0.5, "b": 0.6, "c": 0.7}} if scores is None else scores
    return ComparedExperiment(
        name, **{"raw_hash": "raw", "splits_hash": "splits", "scores": {"dice": labels}, **fields}
    )


def adopted(name: str, validation: Any = None, **fields: Any) -> ComparedExperiment:
    known = VALIDATION if validation is None else validation
    return experiment(name, **{"raw_hash": UNKNOWN, "splits_hash": UNKNOWN, "validation": known, **fields})


def native(name: str, **fields: Any) -> ComparedExperiment:
    return experiment(name, **{"validation": VALIDATION, **fields})


def chosen(*experiments: ComparedExperiment) -> list[str]:
    return [one.name for one in compatible(experiments)[0]]


def refused(*experiments: ComparedExperiment) -> str:
    with pytest.raises(SummaryError) as caught:
        compatible(experiments)
    return str(caught.value)


class TestOfASummary:
    def test_are_the_scores_of_its_cases_by_metric_and_label(self) -> None:
        folds = [
            build_fold_result("fold_0", {"a": {"A": 0.5, "never": None}, "b": {"A": 1.0, "never": None}}),
            build_fold_result("fold_1", {"c": {"A": 0.0, "never": None}}),
        ]
        one = ComparedExperiment.of(summarize(EXPERIMENT, ["fold_0", "fold_1"], folds))
        assert (one.name, one.raw_hash, one.splits_hash) == (EXPERIMENT.name_in_dataset, "raw", "splits")
        assert one.scores["dice"] == {"A": {"a": 0.5, "b": 1.0, "c": 0.0}, "never": dict.fromkeys("abc")}
        assert one.scores["iou"]["A"] == {"a": 0.5 / 1.5, "b": 1.0, "c": 0.0}
        assert (one.validation, one.patients) == (VALIDATION, None)
        assert (one.cases, one.is_proved) == (frozenset("abc"), True)

    @pytest.mark.parametrize("field", ["raw_hash", "splits_hash"])
    def test_what_it_was_trained_on_is_proved_where_both_are_known(self, field: str) -> None:
        assert not experiment("one", **{field: UNKNOWN}).is_proved


class TestTheLargestGroup:
    def test_is_of_the_same_data_and_splits_in_the_order_of_the_experiments(self) -> None:
        odd = experiment("odd", splits_hash="other")
        group, left_out = compatible([experiment("one"), odd, experiment("two"), experiment("three")])
        assert [one.name for one in group] == ["one", "two", "three"]
        assert left_out == {
            "odd": "one and odd must not be compared: they differ in splits. Train the older of the two again, or take "
            "it out of the declarations."
        }

    def test_of_one_size_is_that_of_the_earliest_experiment(self) -> None:
        others = [experiment(name, raw_hash="other") for name in ("three", "four")]
        assert chosen(others[0], experiment("one"), experiment("two"), others[1]) == ["three", "four"]

    def test_of_fewer_than_two_is_no_error(self) -> None:
        assert compatible([]) == ([], {})
        assert chosen(experiment("one")) == ["one"]

    def test_of_one_among_several_is_one(self) -> None:
        assert refused(
            experiment("one"), experiment("two", raw_hash="other"), experiment("three", raw_hash="third")
        ) == (
            "one and two must not be compared: they differ in raw data. Train the older of the two again, or take it "
            "out of the declarations."
        )


class TestWhatWasTrainedElsewhere:
    def test_is_compared_where_each_fold_validated_the_same_cases(self) -> None:
        assert chosen(adopted("a"), native("one"), adopted("b"), native("two")) == ["a", "one", "b", "two"]
        # Fewer folds are no other ones.
        assert chosen(native("one"), adopted("a", {"fold_0": VALIDATION["fold_0"]})) == ["one", "a"]

    def test_is_not_where_a_fold_validated_others_or_nothing_is_known(self) -> None:
        text = refused(adopted("a"), adopted("b", OTHER))
        assert "they differ in the validation cases of their folds. What was trained elsewhere may be compared" in text
        assert "train it here, or take it out" in text
        assert "differ in the validation cases" in refused(adopted("a", {}), adopted("b", {}))
        assert chosen(native("one"), native("two"), adopted("a", OTHER)) == ["one", "two"]
        assert chosen(adopted("a", {"fold_7": frozenset("a")}), native("one"), native("two")) == ["one", "two"]

    def test_is_not_where_what_is_known_differs_all_the_same(self) -> None:
        half, other = native("half", splits_hash=UNKNOWN), native("other", raw_hash="other")
        assert "they differ in raw data, splits (unknown of one)." in refused(half, other)
        assert chosen(half, native("one")) == ["half", "one"]

    def test_joins_one_group_and_not_two_that_differ(self) -> None:
        others = [native(name, raw_hash="other") for name in ("c", "d")]
        assert chosen(adopted("a"), *others, native("one"), native("two")) == ["a", "c", "d"]
        _, left_out = compatible([adopted("a"), *others, native("one")])
        assert left_out["one"].startswith("c and one must not be compared: they differ in raw data.")

    def test_is_named_with_what_is_not_proved(self) -> None:
        notes = shared_scores([adopted("a"), native("one"), adopted("b")]).notes
        assert notes == (
            "Splits and raw data unproved: a, b, trained elsewhere. The validation cases agree fold by fold; that no "
            "model saw them while it was trained is not known.",
        )
        assert shared_scores([native("one"), native("two")]).notes == ()


class TestSharedScores:
    def test_are_of_the_cases_and_labels_that_all_have(self) -> None:
        one = experiment(
            "one", {"B": {"b": 0.1, "a": None, "c": 0.9}, "A": {"b": 0.2, "a": 0.3, "c": 0.9}, "C": {"a": 1}}
        )
        two = experiment("two", {"A": {"a": 0.4, "b": 0.5}, "B": {"a": 0.6, "b": 0.7}, "D": {"a": 0.8}})
        found = shared_scores([one, two])
        assert (found.names, found.cases, found.labels) == (("one", "two"), ("a", "b"), {"dice": ("B", "A")})
        assert found.scores["dice"].shape == (2, 2, 2)
        assert np.array_equal(found.scores["dice"][0], [[np.nan, 0.3], [0.1, 0.2]], equal_nan=True)
        assert found.scores["dice"][1].tolist() == [[0.6, 0.4], [0.7, 0.5]]
        assert found.notes == (
            "Labels that not every experiment has are left out, of the foreground too: C, D.",
            "These experiments validated more than the 2 shared cases: one (3).",
        )

    def test_are_of_the_metrics_that_all_have(self) -> None:
        labels = {"A": {"a": 0.5}}
        one, wide = experiment("one"), ComparedExperiment("wide", "raw", "splits", {"iou": labels, "dice": labels})
        assert list(shared_scores([wide, wide]).scores) == ["iou", "dice"]
        assert list(shared_scores([wide, one]).scores) == ["dice"]
        assert list(shared_scores([one, wide]).scores) == ["dice"]

    def test_need_a_case_and_a_label(self) -> None:
        with pytest.raises(SummaryError, match="No case was validated by all of one, two: they declare"):
            shared_scores([experiment("one"), experiment("two", {"A": {"z": 0.5}})])
        with pytest.raises(SummaryError, match=r"No label has a dice in all of one, two\. Compare experiments"):
            shared_scores([experiment("one"), experiment("two", {"B": {"a": 0.5}})])

    def test_have_patients_where_any_knows_those_of_all_cases(self) -> None:
        patients = {"a": "p0", "b": "p1", "c": "p0"}
        known, partly = experiment("one", patients=patients), experiment("two", patients={"a": "p0"})
        assert shared_scores([experiment("zero"), partly, known]).patients == ("p0", "p1", "p0")
        assert shared_scores([experiment("zero"), partly]).patients is None
