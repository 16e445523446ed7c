"""Dataclasses as JSON and back: the same value, or a sentence that says what does not fit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic_core import PydanticSerializationError

from nnunet_assets.core.files.json_file import JsonError
from nnunet_assets.core.files.typed_json import dataclass_from_json, dataclass_to_json
from nnunet_assets_tests.builders import build_attempt


@dataclass(frozen=True)
class Case:
    """A part of a job."""

    name: str
    images: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Job:
    """Something of every type that a request has."""

    fold: int | Literal["all"]
    minutes: float
    previous: Path | None
    cases: tuple[Case, ...]
    overrides: Mapping[str, Any]
    is_anew: bool = False


JOB = Job("all", 2.5, Path("/a"), (Case("c", (Path("/c_0000.nii.gz"),)),), {"num_epochs": 3, "scale": [1, None]}, True)
CONTENT = {
    "fold": "all",
    "minutes": 2.5,
    "previous": "/a",
    "cases": [{"name": "c", "images": ["/c_0000.nii.gz"]}],
    "overrides": {"num_epochs": 3, "scale": [1, None]},
    "is_anew": True,
}


def test_a_dataclass_becomes_json_and_comes_back_as_it_was() -> None:
    assert dataclass_to_json(JOB) == CONTENT
    assert dataclass_from_json(Job, json.dumps(CONTENT)) == JOB


def test_what_a_folds_process_gets_is_what_was_sent(tmp_path: Path) -> None:
    attempt = build_attempt(tmp_path)
    content = dataclass_to_json(attempt)
    assert dataclass_from_json(type(attempt), json.dumps(content)) == attempt
    # By these a later run, and an earlier version, knows what was begun.
    assert {"inputs", "overrides", "options", "asked_by", "attempt"} <= set(content)


def test_a_field_with_a_default_may_be_missing_and_a_whole_number_is_a_number() -> None:
    content = {**CONTENT, "minutes": 3, "cases": []}
    del content["is_anew"]
    job = dataclass_from_json(Job, json.dumps(content))
    assert (job.is_anew, job.minutes, job.cases) == (False, 3.0, ())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"priority": 1}, "priority is not known"),
        ({"minutes": "2.5"}, "minutes should be a valid number, and is '2.5'"),
        ({"minutes": True}, "minutes should be a valid number, and is True"),
        ({"previous": 3}, "previous should be a valid string, and is 3"),
        ({"is_anew": 1}, "is_anew should be a valid boolean, and is 1"),
        ({"cases": [{"name": "c"}, {"images": []}]}, "cases.1.name is missing"),
        ({"cases": [{"name": "c", "mask": "m"}]}, "cases.0.mask is not known"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(JsonError) as caught:
        dataclass_from_json(Job, json.dumps({**CONTENT, **change}))
    assert str(caught.value) == problem


@pytest.mark.parametrize(("content", "problem"), [('{"fold": ', "it is no JSON"), ("[1]", "it should be an object")])
def test_what_is_no_object_is_said_too(content: str, problem: str) -> None:
    with pytest.raises(JsonError, match=problem):
        dataclass_from_json(Job, content)


def test_of_many_fields_that_do_not_fit_the_first_five_are_named() -> None:
    with pytest.raises(JsonError, match=r"a0 is not known, .* a4 is not known and 5 more$"):
        dataclass_from_json(Job, json.dumps({**CONTENT, **{f"a{n}": 0 for n in range(10)}}))


def test_a_value_of_another_type_is_not_sent() -> None:
    with pytest.raises(PydanticSerializationError, match="minutes"):
        dataclass_to_json(Job(0, "soon", None, (), {}))  # type: ignore[arg-type]
