import re
import subprocess
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.splits.case_groups import GroupPattern
from nnunet_assets.core.text.bounded_regex import groups_by_regex
from nnunet_assets.errors import ConfigError


@pytest.mark.parametrize("pattern", [r"(?P<group>(a+)+)b", r"(?P<group>(a|aa)+)b", r"(?P<group>(.*)*)\1b"])
def test_an_expression_that_never_ends_is_ended_and_named(pattern: str) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"takes more than 0\.5 s for 1 names\. Repetitions within repetitions"):
        groups_by_regex(pattern, "group", [40 * "a" + "!"], most_seconds=0.5)
    assert time.monotonic() - began < 10


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=50, unique=True))
def test_names_are_matched_as_here(names: Any) -> None:
    pattern = r"(?s)(?P<group>\w*).?|x(.)"
    found = [re.fullmatch(pattern, name) for name in names]
    assert groups_by_regex(pattern, "group", names) == [match and match["group"] for match in found]


def test_a_thousand_cases_are_grouped_at_once() -> None:
    cases = [f"patient_{index:03d}_scan_{scan}" for index in range(250) for scan in range(4)]
    groups = GroupPattern(r"(?P<group>patient_\d+)_scan_\d").of(cases)
    assert groups["patient_007_scan_3"] == "patient_007"
    assert len(set(groups.values())) == 250


def test_what_is_no_expression_is_an_error_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        groups_by_regex("(", "group", ["a"])
    assert capfd.readouterr().err == ""
