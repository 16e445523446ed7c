"""Which cross-validations there are: how one is named, which one is meant, and which of its folds are expected."""

import random

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.summary.cv_groups import (
    DEFAULT_FOLDS,
    CvGroup,
    chosen_group,
    closest,
    fold_order,
    group_name,
    meant_group,
    no_experiment,
)
from nnunet_assets.errors import SummaryError

GROUPS = [
    CvGroup("D/a", "native", ("fold_0",), newest_ms=1),
    CvGroup("D/b", "native", ("fold_0",), newest_ms=3),
    CvGroup("D/c", "native", (), newest_ms=5),
]


def test_folds_that_nobody_declares_are_nnunets_five_and_the_finished_ones() -> None:
    assert DEFAULT_FOLDS == ("fold_0", "fold_1", "fold_2", "fold_3", "fold_4")
    group = CvGroup("D/a", "native", ("fold_0", "fold_5", "fold_10", "fold_all"), newest_ms=1)
    assert group.default_folds == (*DEFAULT_FOLDS, "fold_5", "fold_10")
    assert CvGroup("D/a", "native", (), newest_ms=1).default_folds == DEFAULT_FOLDS
    assert group.left_out(["fold_0", "fold_1"]) == ["fold_5", "fold_10"]
    assert group.left_out(group.finished_folds) == []


def test_folds_stand_in_the_order_of_their_numbers_and_the_model_on_every_case_last() -> None:
    folds = ["fold_0", "fold_2", "fold_10", "fold_999999999", "fold_all"]
    for seed in range(5):
        assert sorted(random.Random(seed).sample(folds, len(folds)), key=fold_order) == folds


def test_a_group_has_the_name_of_its_asset_key() -> None:
    assert group_name(Experiment("D", "2d", variant="short")) == "D/short/nnUNetTrainer__nnUNetPlans__2d"
    assert group_name(Experiment("D", "2d")) == "D/nnUNetTrainer__nnUNetPlans__2d"


def test_a_group_says_who_made_it() -> None:
    native, foreign = (CvGroup("D/a", kind, ("fold_0",), newest_ms=1) for kind in ("native", "nnunet_tracker"))
    assert (native.is_native, native.maker) == (True, "nnunet_assets")
    assert (foreign.is_native, foreign.maker) == (False, "nnunet-tracker")
    assert foreign.to_json() == {
        "cv_group": "D/a",
        "made_by": "nnunet-tracker",
        "score": "dice",
        "finished_folds": ["fold_0"],
        "newest_ms": 1,
        "n_runs": {},
        "remark": "",
    }


def test_the_one_that_is_named_is_taken_finished_or_not() -> None:
    assert [chosen_group(GROUPS, f"D/{name}", "Here").name for name in "abc"] == ["D/a", "D/b", "D/c"]
    with pytest.raises(
        SummaryError, match=r"Here has no group 'D/x'\. Did you mean D/c or D/b or D/a\? There are: D/a, "
    ):
        chosen_group(GROUPS, "D/x", "Here")


def test_else_it_is_the_newest_with_a_finished_fold() -> None:
    assert chosen_group(GROUPS, None, "Here").name == chosen_group(GROUPS[::-1], None, "Here").name == "D/b"
    with pytest.raises(SummaryError, match=r"Here has no finished fold, .* summarize\. Without one: D/c\.$"):
        chosen_group(GROUPS[2:], None, "Here")
    with pytest.raises(SummaryError, match=r"nothing to summarize\.$"):
        chosen_group([], None, "Here")


def test_an_unknown_name_says_what_is_close_else_what_there_is() -> None:
    assert closest("x", []) == "There is none at all."
    assert closest("zzz", ["b", "a"]) == "There are: a, b."
    assert str(no_experiment("MLflow", "Datset1", ["Dataset1"])) == (
        "MLflow has no experiment 'Datset1'. Did you mean Dataset1? There are: Dataset1."
    )
    # Three at most, and nothing that is like it in less than half.
    many = [f"Dataset{k}" for k in range(5)]
    assert closest("Dataset", many).startswith("Did you mean Dataset4 or Dataset3 or Dataset2? There are:")
    assert closest("abcdef", ["abc123", "ab1234"]) == "Did you mean abc123? There are: ab1234, abc123."


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("ResEncUNetM 2d", "D/T__ResEncUNetMPlans__2d"),
        ("2d", None),
        ("ResEnc…2d", "D/T__ResEncUNetMPlans__2d"),
        ("3d_fullres", "D/T__nnUNetPlans__3d_fullres"),
        ("4d", None),
        ("", None),
        ("…", None),
    ],
)
def test_a_group_is_meant_by_words_that_no_other_holds(wanted: str, meant: str | None) -> None:
    names = ["D/T__nnUNetPlans__2d", "D/T__ResEncUNetMPlans__2d", "D/T__nnUNetPlans__3d_fullres"]
    assert meant_group(wanted, names) == meant
    assert meant_group(wanted, names[::-1]) == meant
    assert meant_group("", names[:1]) is None
