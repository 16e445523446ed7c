"""The numbers of an intake."""

import pytest

from nnunet_assets.core.dataset.findings import Finding, Severity
from nnunet_assets.core.dataset.intake import CaseRow, IntakeReport


def report(n_cases: int, *findings: tuple[str, Severity], volumes_ml: tuple[float | None, ...] = ()) -> IntakeReport:
    volumes = (*volumes_ml, *[None] * (n_cases - len(volumes_ml)))
    rows = [
        CaseRow(f"c{k}", None, None, (None,), {}, {} if ml is None else {"organ": ml}, ())
        for k, ml in enumerate(volumes)
    ]
    found = tuple(Finding(code, severity, "") for code, severity in findings)
    return IntakeReport("Dataset001_X", "hash", ("MRI",), ("organ",), tuple(rows), found, n_cases, voxels_checked=True)


@pytest.mark.parametrize(
    ("found", "headline"),
    [
        (report(50), "50 cases, no errors, no warnings"),
        (report(1, ("D026", "error")), "1 case, 1 error, no warnings (D026 1)"),
        (
            report(0, ("D072", "warning"), ("D026", "error"), ("D072", "warning"), ("D039", "error")),
            "no cases, 2 errors, 2 warnings (D026 1, D039 1, D072 2)",
        ),
    ],
)
def test_the_headline_counts_cases_errors_and_warnings_by_code(found: IntakeReport, headline: str) -> None:
    assert found.headline() == headline


def test_errors_and_warnings_are_all_findings() -> None:
    found = report(2, ("D072", "warning"), ("D026", "error"), ("D073", "warning"))
    assert (found.n_errors, found.n_warnings) == (1, 2)


def test_the_volumes_of_a_label_are_of_the_cases_that_hold_it() -> None:
    found = report(4, volumes_ml=(2.5, 0.0, 0.125))
    assert found.volumes_ml("organ") == [2.5, 0.125]
    assert found.volumes_ml("lesion") == []
