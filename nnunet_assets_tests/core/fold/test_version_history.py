import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.fold.version_history import (
    Stage,
    changes,
    followed_by,
    is_other_minor,
    mixed_in_words,
    mixed_versions,
    read_stages,
    write_stages,
)


def stage(from_epoch: Any, nnunet: Any, what: Literal["training", "validation"] = "training", **others: Any) -> Any:
    return Stage(from_epoch, what, {"nnunetv2": nnunet, "torch": "2.6.0", **others}, {})


@pytest.mark.parametrize(
    ("before", "now", "is_other"),
    [
        ("2.8.1", "2.8.1", False),
        ("2.8.1", "2.8.2", False),
        ("2.8", "2.8.2", False),
        ("2.8.1", "2.8.1.post1", False),
        ("2.6.0+cu124", "2.6.0+cpu", False),
        ("2.8.1", "2.9.0", True),
        ("2.8.1", "3.8.1", True),
        ("2.8.1", "2.10.1", True),
        ("2.8.1", "28.1", True),
    ],
)
def test_another_minor_version(before: str, now: str, is_other: bool) -> None:
    assert is_other_minor(before, now) == is_other_minor(now, before) == is_other


def test_a_stage_is_another_one_where_versions_or_the_makers_of_cases_are() -> None:
    first = stage(0, "2.8.1")
    assert followed_by([], first) == [first]
    assert followed_by([first], stage(3, "2.8.1")) == [first]
    assert followed_by([first], stage(3, "2.8.1", nnunet_assets="9.9")) == [first]  # computes nothing of it
    second = stage(3, "2.8.2")
    assert followed_by([first], second) == [first, second]
    # No epoch was trained under the second.
    assert followed_by([first, second], third := stage(3, "2.8.3")) == [first, third]
    made = Stage(5, "training", second.versions, {"nnUNetPlans_3d_fullres": "2.8.2"})
    assert followed_by([first, second], made) == [first, second]  # whose cases nobody noted
    anew = Stage(7, "training", second.versions, {"nnUNetPlans_3d_fullres": "2.9.0"})
    assert followed_by([made], anew) == [made, anew]
    validated = Stage(9, "validation", {"nnunetv2": "2.9.0"}, {})
    assert followed_by([first, second], validated) == [first, second, validated]
    assert followed_by([first, stage(9, "2.8.2")], validated)[1] == stage(9, "2.8.2")


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["2.8.1", "2.8.2", "2.9.0"])), max_size=6))
def test_what_is_mixed_is_each_version_under_which_epochs_were_trained(trained: Any) -> None:
    stages: list[Stage] = []
    epoch, versions = 0, []
    for n_epochs, version in trained:
        stages = followed_by(stages, stage(epoch, version))
        epoch += n_epochs
        if n_epochs and version not in versions:
            versions.append(version)
    last = trained[-1][1] if trained else None
    if last and last not in versions:
        versions.append(last)  # which goes on now
    mixed = mixed_versions(stages)
    assert mixed == ({"nnunetv2": versions} if len(versions) > 1 else {})
    assert mixed_in_words(mixed) == (f"nnunetv2 {', then '.join(versions)}" if len(versions) > 1 else "")


def test_stages_come_back_and_a_fold_of_an_older_version_has_those_of_its_begin(tmp_path: Path) -> None:
    stages = [stage(0, "2.8.1"), stage(4, "2.8.2")]
    assert read_stages(tmp_path) == []
    append_record(journal_path(tmp_path), "start", {"attempt": "a", "params": {"versions": {"nnunetv2": "2.7.0"}}})
    assert read_stages(tmp_path) == [Stage(0, "training", {"nnunetv2": "2.7.0"}, {})]
    write_stages(tmp_path, stages)
    assert read_stages(tmp_path) == stages
    (tmp_path / ".nnunet_assets" / "versions.json").write_text("{")
    assert read_stages(tmp_path)[0].versions == {"nnunetv2": "2.7.0"}
    assert mixed_versions(json.loads(json.dumps([vars(one) for one in stages]))) == {"nnunetv2": ["2.8.1", "2.8.2"]}


def test_only_what_both_know_is_a_change() -> None:
    assert changes({"a": "1", "b": "1"}, {"a": "2", "c": "1"}) == {"a": ("1", "2")}


@pytest.mark.parametrize(
    "content", ['{"stages": 3}', '{"stages": [{"what": "training"}]}', "[]", "{}", '{"stages": [3]}']
)
def test_stages_of_another_form_are_none(tmp_path: Path, content: str) -> None:
    write_stages(tmp_path, [])
    (tmp_path / ".nnunet_assets" / "versions.json").write_text(content)
    assert read_stages(tmp_path) == []
    append_record(journal_path(tmp_path), "epoch", {"params": {"versions": {"nnunetv2": "2.7.0"}}})
    assert read_stages(tmp_path) == []  # a journal that does not begin with a start


def test_a_validation_forgets_no_training_and_every_validation_that_it_repeats() -> None:
    first, second = stage(0, "2.8.1"), stage(5, "2.8.2")
    validated = stage(5, "2.8.3", "validation")
    assert followed_by([first, second], validated) == [first, second, validated]
    again = stage(5, "2.9.0", "validation")
    assert followed_by([first, second, validated], again) == [first, second, again]
    assert followed_by([first, validated], stage(6, "2.9.0", "validation"))[1] == validated


def test_versions_of_the_same_last_number_are_no_other_minor_and_zeros_in_front_count_nothing() -> None:
    assert not is_other_minor("2.08.1", "2.8.3")
    assert is_other_minor("2", "2.1")
    assert mixed_versions([stage(0, "1", nnunet_assets="1"), stage(1, "1", nnunet_assets="2"), {}]) == {}
