"""Findings as text: all kinds of them shown, however many there are of one."""

import pytest

from nnunet_assets.core.dataset.findings import SHOWN, Finding, findings_text, refuse_errors
from nnunet_assets.errors import DatasetError


def missing(n: int) -> list[Finding]:
    return [Finding("D026", "error", f"no label {i}") for i in range(n)]


def test_many_findings_of_one_kind_do_not_hide_another() -> None:
    text = findings_text([*missing(SHOWN + 2), Finding("D016", "error", "says 8"), Finding("D026", "error", "late")])
    assert text.splitlines() == [
        *(f"D026 no label {i}" for i in range(SHOWN)),
        "D026 ... and 3 more of this kind, 8 in all.",
        "D016 says 8",
    ]


def test_as_many_as_are_shown_are_not_counted() -> None:
    assert len(findings_text(missing(SHOWN)).splitlines()) == SHOWN
    assert findings_text([]) == ""


def test_errors_stop_and_warnings_do_not() -> None:
    warning = Finding("D072", "warning", "stands out")
    refuse_errors("The dataset", [warning])
    with pytest.raises(DatasetError) as caught:
        refuse_errors("The dataset", [warning, *missing(1)])
    assert str(caught.value) == "The dataset has 1 problem:\nD026 no label 0"
    with pytest.raises(DatasetError, match=r"^The dataset has 2 problems:"):
        refuse_errors("The dataset", missing(2))


def test_a_finding_may_be_of_the_whole_dataset() -> None:
    (found,) = missing(1)
    assert (found.case, found.file) == (None, None)
