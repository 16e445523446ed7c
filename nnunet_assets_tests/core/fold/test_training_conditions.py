from dataclasses import replace

from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.training_conditions import Change, TrainingConditions

INPUTS = FoldInputs(raw_hash="0123456789abcdef", plans_hash="plans", splits_hash="splits", training_hash="training")
THEN = TrainingConditions(INPUTS, {"torch": "2.14.0", "numpy": "2.4.6"}, device="cpu", host="here")


def test_nothing_differs_from_itself() -> None:
    assert THEN.changes(THEN) == []


def test_what_the_fold_is_made_from_is_decisive_and_comes_first() -> None:
    now = replace(
        THEN,
        inputs=replace(INPUTS, raw_hash="fedcba9876543210", splits_hash="others"),
        versions={"torch": "2.15.0", "numpy": "2.4.6"},
        device="NVIDIA H200",
        host="there",
    )
    assert THEN.changes(now) == [
        Change("raw data", "0123456789abcdef", "fedcba9876543210", is_decisive=True),
        Change("splits", "splits", "others", is_decisive=True),
        Change("torch", "2.14.0", "2.15.0", is_decisive=False),
        Change("device", "cpu", "NVIDIA H200", is_decisive=False),
        Change("host", "here", "there", is_decisive=False),
    ]


def test_what_is_not_known_of_then_is_not_compared_and_what_is_gone_is_a_change() -> None:
    unknown = replace(THEN, versions={}, device=None, host=None)
    assert unknown.changes(THEN) == []
    assert THEN.changes(replace(THEN, versions={"torch": "2.14.0"})) == [Change("numpy", "2.4.6", None, False)]


def test_a_digest_is_shown_by_its_first_digits() -> None:
    assert str(Change("raw data", "0123456789abcdef", "fedcba9876543210", is_decisive=True)) == (
        "raw data was 0123456789ab, is fedcba987654"
    )
    assert str(Change("a_package_of_long_version", "1.0.0.dev0+local", None, is_decisive=False)) == (
        "a_package_of_long_version was 1.0.0.dev0+local, is not there"
    )
