"""What is said of a file as a whole."""

import pytest

from nnunet_assets.core.verification.findings import Finding, Verdict, Verification, worst


def finding(verdict: Verdict, what: str = "it") -> Finding:
    return Finding("scores", what, verdict, "Said.")


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [([], "holds"), (["holds"], "holds"), (["holds", "unknown"], "unknown"), (["unknown", "changed"], "changed")],
)
def test_one_difference_is_enough_and_then_one_thing_that_cannot_be_checked(
    verdicts: list[Verdict], whole: Verdict
) -> None:
    assert worst(verdicts) == whole


def test_findings_are_told_from_the_file_down_to_the_data_each_once() -> None:
    inputs = Finding("inputs", "plans", "holds", "The same.")
    file = Finding("file", "table", "holds", "The same.")
    found = Verification.of("a.csv", "a table", [inputs, file, inputs], ["Masks were left out."])
    assert found.findings == (file, inputs)
    assert found.left_out == ("Masks were left out.",)
    assert found.to_json()["findings"][1] == {
        "level": "inputs",
        "what": "plans",
        "verdict": "holds",
        "sentence": "The same.",
    }


@pytest.mark.parametrize(
    ("verdicts", "headline"),
    [
        (["holds"], "f: holds (1 thing was looked at)"),
        (["holds", "holds"], "f: holds (2 things were looked at)"),
        (["holds", "changed", "unknown"], "f: is different: 1 of 3, 1 cannot be checked"),
        (["changed"], "f: is different: 1 of 1"),
        (["holds", "unknown"], "f: cannot be checked any more in 1 of 2; nothing is different"),
    ],
)
def test_the_headline_counts(verdicts: list[Verdict], headline: str) -> None:
    findings = (finding(verdict, str(number)) for number, verdict in enumerate(verdicts))
    assert Verification.of("f", "", findings).headline() == headline
