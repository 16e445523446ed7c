"""JSON from elsewhere is read within bounds, and whatever is wrong with it is a ValueError with a sentence."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files import json_file
from nnunet_assets.core.files.json_file import (
    JsonError,
    load_json,
    read_json,
    readable_json,
    write_json_atomically,
)
from nnunet_assets.errors import DamagedFileError, SummaryError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_is_json_is_read_in_whatever_encoding_json_knows(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "plans.json").write_text('{"name": "Läsion", "n": [1, NaN]}', encoding=encoding)
    assert load_json(tmp_path / "plans.json")["name"] == "Läsion"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[" * 100_000, "nested too deep"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("[" * 500, "more than 400 are read|no more than 400"),
        ("[" + "{}," * 450 + "{}]", "no more than 400"),
        ('{"a": ' + "9" * 100_000 + "}", "digits"),
        ("{", "Expecting"),
        ("\x00", "Expecting"),
        ("", "Expecting"),
    ],
)
def test_what_is_none_or_too_much_is_a_value_error_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, problem: str
) -> None:
    if "400" in problem:
        monkeypatch.setattr(json_file, "MOST_CONTAINERS", 400)
    (tmp_path / "plans.json").write_text(content)
    with pytest.raises(ValueError, match=problem):
        load_json(tmp_path / "plans.json")


def test_bytes_of_no_text_are_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "plans.json").write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(ValueError, match="decode"):
        load_json(tmp_path / "plans.json")


def test_a_file_of_gigabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "summary.json").open("wb") as file:
        file.truncate(5 << 30)  # a hole: it takes no room
    with pytest.raises(JsonError, match="it has 5369 MB, and no JSON file of more than 268 MB is read"):
        load_json(tmp_path / "summary.json")


def test_a_summary_of_a_large_cohort_is_within_the_bounds() -> None:
    entry = {"metrics": {str(label): {"Dice": 0.5} for label in range(117)}, "prediction_file": "case.nii.gz"}
    content = json.dumps([entry] * 100)
    assert 50 * (content.count("{") + content.count("[")) < json_file.MOST_CONTAINERS


def test_nan_is_refused_in_a_file_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json_atomically(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomically(path, {"a": math.nan})
    assert path.read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.parametrize(
    ("content", "problem"), [('{"a":', r"is not valid JSON \(Expecting"), ("[1]", "no JSON object")]
)
def test_a_file_of_ours_that_holds_something_else_is_damaged_and_says_what_to_do(
    tmp_path: Path, content: str, problem: str
) -> None:
    (tmp_path / "plans.json").write_text(content)
    with pytest.raises(DamagedFileError, match=rf"plans\.json .*{problem}.*Restore it, or delete it to have it"):
        read_json(tmp_path / "plans.json")


def test_a_file_of_ours_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "plans.json") is None


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "raw.json")
    with pytest.raises(OSError, match="It is a pipe, a socket or a device"):
        load_json(tmp_path / "raw.json")
    assert readable_json(tmp_path / "raw.json") == {}


@pytest.mark.parametrize("content", [None, "{", "[1]", "3", "null"])
def test_what_proves_nothing_is_empty(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    assert readable_json(tmp_path / "a.json") == {}
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert readable_json(tmp_path / "a.json") == {"a": 1}


def test_as_much_as_is_allowed_is_read_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    monkeypatch.setattr(json_file, "MOST_BYTES", 7)
    monkeypatch.setattr(json_file, "MOST_CONTAINERS", 3)
    file.write_text("[[],{}]")
    assert load_json(file) == [[], {}]
    file.write_text("[[],{}] ")
    with pytest.raises(JsonError, match="it has 0 MB, and no JSON file of more than 0 MB is read"):
        load_json(file)
    assert json_file.parse_json(b"[[],{}]") == [[], {}]
    with pytest.raises(JsonError, match="it has 4 lists and objects, and no more than 3 are read"):
        json_file.parse_json(b"[[],{},[]]")


def test_of_256_mebibytes_and_sixteen_million_lists_no_more_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(JsonError, match="no JSON file of more than 268 MB is read"):
        load_json(tmp_path / "a.json")
    with pytest.raises(JsonError, match="it has 16000001 lists and objects, and no more than 16000000 are read"):
        json_file.parse_json(b"[" * 16_000_001)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is missing. Materialize splits first."), ("{", r"is not valid JSON .* Materialize splits again\.")],
)
def test_what_a_materialization_writes_says_what_to_materialize(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SummaryError, match=said):
        json_file.load_materialized(file, "splits", SummaryError)
    file.unlink(missing_ok=True)
    file.mkdir()
    with pytest.raises(SummaryError, match=r"cannot be read: Is a directory\. Materialize splits again\."):
        json_file.load_materialized(file, "splits", SummaryError)
    file.rmdir()
    file.write_text("[1]")
    assert json_file.load_materialized(file, "splits", SummaryError) == [1]


def test_json_is_written_for_people_in_their_own_letters() -> None:
    assert json_file.dump_json({"ä": [1]}).decode() == '{\n  "ä": [\n    1\n  ]\n}\n'
    assert json_file.dump_json([float("nan")], allow_nan=True) == b"[\n  NaN\n]\n"


def test_whatever_json_of_another_form_raises_is_expected() -> None:
    for read in (
        lambda: dict[str, int]()["a"],
        lambda: list[int]()[0],
        lambda: "a".a,  # type: ignore[attr-defined]
        lambda: len(3),  # type: ignore[arg-type]
        lambda: int("a"),
        lambda: int(float("inf")),
        lambda: 1 / 0,
    ):
        with pytest.raises(json_file.OTHER_FORM):
            read()
    assert set(json_file.OTHER_FORM) < set(json_file.UNREADABLE) < set(json_file.UNUSABLE)
    assert OSError in json_file.UNREADABLE
