"""How a split came to be: its generations, and what each says of the cases."""

import json
from typing import Any

import pytest

from nnunet_assets.core.splits.splits_record import SplitsRecord

GOOD = [
    {"train": ["c", "d", "e", "f"], "val": ["a", "b"]},
    {"train": ["a", "b", "e", "f"], "val": ["c", "d"]},
    {"train": ["a", "b", "c", "d"], "val": ["e", "f"]},
]
FEWER = [{**GOOD[0], "train": ["c"]}, *GOOD[1:]]
"""The same with a fold that trains on one case."""


def followed(record: Any, splits: Any, origin: Any, **settings: Any) -> Any:
    return record.followed_by(splits, made_at="2026-11-21", origin=origin, settings=settings, groups={})


def test_a_record_knows_which_case_came_into_which_fold_and_when() -> None:
    more = [
        {"train": ["c", "e", "f", "g"], "val": ["a", "b"]},
        {"train": ["a", "b", "e", "f"], "val": ["c", "g"]},
        {"train": ["a", "b", "c", "g"], "val": ["e", "f"]},
    ]
    record = followed(followed(SplitsRecord(), GOOD, "made", folds=3), more, "extended", folds=3)
    first, second = record.generations
    assert first.added == {"fold_0": ["a", "b"], "fold_1": ["c", "d"], "fold_2": ["e", "f"]}
    assert (second.added, second.removed) == ({"fold_1": ["g"]}, ["d"])
    assert SplitsRecord.from_json(record.to_json()) == record
    assert record.splits() == more
    assert record.until(GOOD).splits() == GOOD
    assert record.until(FEWER) == SplitsRecord()


def test_a_split_that_trains_on_fewer_cases_is_not_guessed_from_its_record() -> None:
    record = followed(SplitsRecord(), FEWER, "made", file="mine.json")
    assert record.splits() is None
    assert record.validation()["a"] == 0


def test_a_record_knows_the_cases_that_a_file_does_not_validate_and_reads_older_ones() -> None:
    splits = [{"train": ["c"], "val": ["a"]}, {"train": ["a", "c"], "val": ["b"]}]
    made: dict[str, Any] = {"made_at": "2026-11-21", "origin": "made", "settings": {"file": "mine.json"}, "groups": {}}
    record = SplitsRecord().followed_by(splits, **made, cases=["a", "b", "c", "d"])
    (generation,) = record.generations
    assert (generation.training_only, generation.left_out) == (("c",), ("d",))
    assert record.known_cases == {"a", "b", "c", "d"}
    content = json.loads(json.dumps(record.to_json()))
    assert SplitsRecord.from_json(content).known_cases == record.known_cases
    for name in ("training_only", "left_out"):
        del content["generations"][0][name]
    assert SplitsRecord.from_json(content).known_cases == {"a", "b"}


def test_a_record_of_another_schema_says_nothing() -> None:
    assert SplitsRecord.from_json({"schema": 99}) == SplitsRecord()
    assert SplitsRecord.from_json({}) == SplitsRecord()


def test_without_a_generation_nothing_is_known() -> None:
    assert SplitsRecord().validation() == {}
    assert SplitsRecord().known_cases == set()
    assert SplitsRecord().splits() is None
    assert SplitsRecord().until([]) == SplitsRecord()
    assert SplitsRecord.from_json({"schema": 1, "generations": []}) == SplitsRecord()


def test_a_split_that_is_made_anew_forgets_who_validated_what_before() -> None:
    other = [{"train": ["b"], "val": ["a", "c"]}, {"train": ["a", "c"], "val": ["b"]}]
    record = followed(followed(SplitsRecord(), GOOD, "made"), other, "made")
    assert record.validation() == {"a": 0, "c": 0, "b": 1}
    assert record.generations[1].added == {"fold_0": ["a", "c"], "fold_1": ["b"]}
    assert record.generations[1].removed == ["d", "e", "f"]
    assert record.splits() == other


def test_an_extended_split_adds_to_the_folds_and_one_that_got_no_case_is_not_named() -> None:
    more = [GOOD[0], {"train": ["a", "b"], "val": ["c", "d", "g", "h"]}, GOOD[2]]
    record = followed(followed(SplitsRecord(), GOOD, "made"), more, "extended")
    assert record.generations[1].added == {"fold_1": ["g", "h"]}
    assert record.validation() == {"a": 0, "b": 0, "c": 1, "d": 1, "g": 1, "h": 1, "e": 2, "f": 2}


def test_a_record_ends_with_the_last_generation_of_a_split_however_often_it_was_made() -> None:
    record = followed(followed(followed(SplitsRecord(), GOOD, "made"), FEWER, "made"), GOOD, "made")
    assert len(record.until(GOOD).generations) == 3
    assert record.until(FEWER).generations == record.generations[:2]


def test_other_splits_are_of_no_generation() -> None:
    record = followed(SplitsRecord(), GOOD, "made")
    others = [[{**GOOD[0], "train": [case]}, *GOOD[1:]] for case in "cdef"]
    assert [record.until(other) for other in others] == [SplitsRecord()] * 4


def test_the_known_cases_are_those_of_the_last_generation() -> None:
    made: dict[str, Any] = {"made_at": "", "origin": "made", "settings": {}, "groups": {}}
    few = [{"train": ["c"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}]
    first = SplitsRecord().followed_by(few, **made, cases=["a", "b", "c", "left"])
    assert first.known_cases == {"a", "b", "c", "left"}
    assert first.followed_by(few, **made, cases=["a", "b", "c"]).known_cases == {"a", "b", "c"}


def test_groups_are_those_of_the_last_generation_and_older_files_have_them_there_alone() -> None:
    first = SplitsRecord().followed_by(GOOD, made_at="", origin="made", settings={}, groups={"a": "anna"})
    record = first.followed_by(GOOD, made_at="", origin="made", settings={}, groups={"a": "ben"})
    assert (record.groups, record.until(FEWER).groups) == ({"a": "ben"}, {"a": "ben"})
    content = json.loads(json.dumps(record.to_json()))
    assert SplitsRecord.from_json({**content, "groups": {"a": "carl"}}).groups == {"a": "carl"}
    del content["groups"]
    assert SplitsRecord.from_json(content).groups == {"a": "ben"}


@pytest.mark.parametrize("content", [{"schema": 1}, {"schema": 1, "generations": [{"origin": "made"}]}])
def test_a_record_of_another_form_is_no_record(content: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        SplitsRecord.from_json(content)
