"""The page and the tables of an intake, with the names that users must not be trusted with."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.dataset.intake import CaseRow, IntakeReport, Intensities
from nnunet_assets.reports.pages.intake_files import write_intake
from nnunet_assets.reports.pages.intake_page import SHOWN_MESSAGES, intake_page

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
VALUES = Intensities(-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def read_parquet(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def row(case: str, volume_ml: float, *codes: str) -> CaseRow:
    labels = {"organ": int(1000 * volume_ml)}
    return CaseRow(case, (4, 5, 6), (1.0, 1.0, 2.0), (VALUES,), labels, {"organ": volume_ml}, codes)


def report(*findings: Finding, cases: tuple[CaseRow, ...] = ()) -> IntakeReport:
    return IntakeReport(
        dataset="Dataset001_Tiny",
        content_hash="0" * 64,
        channel_names=("MRI",),
        foreground=("organ",),
        cases=cases or (row("a", 9.5), row("b", 10.25), row("c", 0.0, "D035")),
        findings=findings,
        n_read=3,
        voxels_checked=True,
    )


def test_the_headline_counts() -> None:
    found = report(Finding("D035", "warning", "x"), Finding("D035", "warning", "y"), Finding("D026", "error", "z"))
    assert found.headline() == "3 cases, 1 error, 2 warnings (D026 1, D035 2)"
    assert report().headline() == "3 cases, no errors, no warnings"


def test_the_tables_hold_every_case_and_finding(tmp_path: Path) -> None:
    finding = Finding("D035", "warning", "labelsTr/c.nii.gz is all background", "c", "labelsTr/c.nii.gz")
    _, cases, findings = write_intake(tmp_path, report(finding, Finding("D029", "error", "3 cases")))
    table = read_parquet(cases)
    assert list(table["case"]) == ["a", "b", "c"]
    assert list(table["volume_ml/organ"]) == [9.5, 10.25, 0.0]
    assert table.loc[0, ["shape_z", "spacing_mm_z", "channel_0000_median"]].tolist() == [6, 2.0, 2.0]
    found = read_parquet(findings)
    assert found["remedy"].tolist() == ["Look whether it is the right file.", "Add cases, or declare fewer folds."]
    assert found["case"].isna().tolist() == [False, True]


def test_cases_that_could_not_be_read_leave_gaps_and_no_cases_an_empty_table(tmp_path: Path) -> None:
    broken = CaseRow("a", None, None, (None,), {}, {}, ("D047",))
    _, cases, _ = write_intake(tmp_path, report(cases=(broken, row("b", 1.0))))
    assert read_parquet(cases)["shape_x"].isna().tolist() == [True, False]
    empty = IntakeReport("Dataset001_Tiny", "0", ("MRI",), ("organ",), (), (), 0, voxels_checked=False)
    page, cases, findings = write_intake(tmp_path, empty)
    assert (len(read_parquet(cases)), len(read_parquet(findings))) == (0, 0)
    assert "These are not NIfTI files: intensities and volumes are not shown" in page.read_text()


def test_findings_are_grouped_errors_first_and_the_page_stays_short() -> None:
    many = [Finding("D035", "warning", f"file {n} is all background", f"case {n}") for n in range(1000)]
    page = intake_page(report(*many, Finding("D026", "error", "no label", "a")))
    assert page.index("D026 error") < page.index("D035 warning")
    assert page.count("<li>") == SHOWN_MESSAGES + 1
    assert f"and {1000 - SHOWN_MESSAGES} more" in page


def test_nothing_that_users_wrote_is_markup() -> None:
    page = intake_page(report(Finding("D035", "warning", EVIL, EVIL), cases=(row(EVIL, 1.0, "D035"),)))
    assert "<img" not in page
    assert page.count("<script>") == 1
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_shows_it_sorts_it_asks_nobody_and_runs_no_foreign_script(tmp_path: Path) -> None:
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright

    cases = (row("a", 9.5), row(EVIL, 10.25), row("c", 100.0))
    page_file, *_ = write_intake(tmp_path / "with space", report(Finding("D035", "warning", EVIL, EVIL), cases=cases))
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)
        page = browser.new_page(viewport={"width": 1300, "height": 900}, color_scheme="dark")
        asked: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_file.as_uri())
        volumes = page.locator("table").last.locator("tbody tr td:nth-child(5)")
        page.get_by_role("button", name="organ (ml)").click()
        assert volumes.all_inner_texts() == ["9.5", "10.25", "100"]
        page.get_by_role("button", name="organ (ml)").click()
        assert volumes.all_inner_texts() == ["100", "10.25", "9.5"]
        assert page.title() == "Intake of Dataset001_Tiny"
        assert asked == [page_file.as_uri()]
        assert problems == []
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.emulate_media(color_scheme="light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
        browser.close()
