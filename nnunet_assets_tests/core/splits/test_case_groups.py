from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.splits.case_groups import GroupPattern, GroupTable, pattern_problem
from nnunet_assets.errors import ConfigError, DatasetError

CASES = ["anna_scan1", "anna_scan2", "ben_scan1"]
OF = {"anna_scan1": "anna", "anna_scan2": "anna", "ben_scan1": "ben"}


def table(folder: Any, text: str, case: str = "case", column: str = "patient") -> Any:
    (folder / "patients.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return GroupTable(folder / "patients.csv", case, column)


def test_a_pattern_names_the_group_within_the_name_of_each_case() -> None:
    assert GroupPattern(r"(?P<group>.+)_scan\d+").of(CASES) == OF


@pytest.mark.parametrize("pattern", [r"(?P<group>.+)_scan\d", r"(?P<group>[a-z]*)_scan\d"])
def test_a_case_that_the_pattern_does_not_match_is_named(pattern: str) -> None:
    with pytest.raises(
        DatasetError, match=r"does not give these cases a group: _scan10\. It must match the whole name"
    ):
        GroupPattern(pattern).of([*CASES, "_scan10"])


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?P<group>", "is no regular expression: "),
        (r"(.+)_scan\d", r"does not say which part of a case's name is its group: write (?P<group>...)"),
    ],
)
def test_a_pattern_that_cannot_name_groups(pattern: str, problem: str) -> None:
    assert problem in str(pattern_problem(pattern))
    assert pattern_problem(r"(?P<group>.+)_scan\d") is None


@pytest.mark.parametrize(
    "text",
    [
        "case,patient\nanna_scan1,anna\nanna_scan2,anna\nben_scan1,ben\n",
        "patient;age;case\r\nanna;40;anna_scan1\r\nanna;40;anna_scan2\r\nben;;ben_scan1\r\n",
        "case\tpatient\nanna_scan1\tanna\nanna_scan2\tanna\nben_scan1\tben\nsomebody_else\tcarl\n",
        b'\xef\xbb\xbfcase, patient\n"anna_scan1", anna \nanna_scan2,anna\n\n,\nben_scan1,ben\n',
    ],
    ids=["comma", "semicolon and more columns", "tab and more cases", "as a spreadsheet writes it"],
)
def test_a_table_names_the_group_of_each_case(tmp_path: Path, text: Any) -> None:
    assert table(tmp_path, text).of(CASES) == OF


def test_a_case_that_the_table_does_not_name_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"patients\.csv names no group for these cases: anna_scan2, ben_scan1\."):
        table(tmp_path, "case,patient\nanna_scan1,anna\n").of(CASES)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"has no column 'case'\. Its columns: none\."),
        ("case,subject\n", r"has no column 'patient'\. Its columns: case, subject\. Name the right one in `splits"),
        ("case,patient\na,\n", r"line 2: the case 'a' has no group\. Complete the row"),
        ("case,patient\n\n,anna\n", r"line 3: the group 'anna' has no case\."),
        ("case,patient\na,anna\na,ben\n", r"line 3: the case 'a' belongs to 'ben' here and to 'anna' above"),
        (b"case,patient\n\xff", r"byte 13 is not UTF-8"),
    ],
)
def test_a_table_that_is_wrong(tmp_path: Path, text: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        table(tmp_path, text).read()


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"There is no file .*patients\.csv\. A relative path begins in the project's"
    ):
        GroupTable(tmp_path / "patients.csv", "case", "patient").read()
