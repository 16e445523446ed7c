"""The report of a cross-validation as a page: all numbers, every name as text, nothing from elsewhere."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.evaluation.gap import GAP_METRICS, find_gaps
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.reports.pages.cv_page import PageFigure, cv_page
from nnunet_assets.reports.text.methods import methods_paragraph
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, Dices, build_fold_result, build_manifest
from nnunet_assets_tests.reports.page_checks import check_page_of_nasty_names
from nnunet_assets_tests.reports.tables.test_summary_tables import NASTY_NAMES, summary_of_nasty_names

CASES: dict[str, Dices] = {"good": {"A": 0.9, "B": 0.7}, "bad": {"A": 0.2, "B": None}, "empty": {"A": None, "B": None}}
PARAMETERS = {
    "trainer": {"num_iterations_per_epoch": 250, "initial_lr": 0.01},
    "data": {"batch_size": 2},
    "plans": {"patch_size": [40, 56, 40], "spacing": [1.0, 1.0, 1.5]},
    "optimizer": {"class": "SGD", "momentum": 0.99, "weight_decay": 3e-5},
    "lr_scheduler": {"class": "PolyLRScheduler"},
    "loss": {"class": "DC_and_CE_loss"},
}

FIGURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"/>'
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
HD95_MM = {"mean": 2.5, "sd": 0.5, "median": 2.4, "n": 3, "n_defined": 2}
EVALUATION = {
    "folds": ["fold_0"],
    "missing_folds": ["fold_1"],
    "n_evaluated": 3,
    "n_expected": 4,
    "policy": {"labels": {"A": {"nsd_tolerance_mm": 1.5}}},
    "policy_digest": "abcdef0123456789" * 4,
    "labels": {
        "A": {
            "n_cases": 3,
            "metrics": {"dice": {**HD95_MM, "mean": 0.55}, "hd95_mm": HD95_MM},
            "lesions": {"n_reference": 8, "n_found": 6, "sensitivity": 0.75, "false_per_case": 1.0, "f1": None},
        }
    },
    "problems": [{"message": "Case 'gone' has no <prediction>."}],
}


def summary() -> Any:
    return summarize(EXPERIMENT, ["fold_0", "fold_1"], [build_fold_result("fold_0", CASES)])


def test_the_page_has_the_scores_the_cases_the_worst_first_and_what_is_missing() -> None:
    page = cv_page(summary(), {}, {}, [PageFigure("A figure.", b"<svg/>", "image/svg+xml")], EVALUATION)
    assert page.index("<td>bad</td>") < page.index("<td>good</td>")
    assert "<td>0.200</td><td>undefined</td>" in page
    assert "Not complete: fold_1 missing." in page
    assert "<td>A</td><td>0.550</td><td>none</td><td>0.550 [0.375, 0.725]</td>" in page
    assert INPUTS.raw_hash in page
    assert "<td>2.500 ± 0.500</td><td>undefined</td>" in page  # HD95, ASSD
    assert "3 of 4 cases of fold_0; not finished: fold_1. Policy abcdef0123456789." in page
    assert "<td>6 of 8 (0.750)</td><td>1.00</td><td>undefined</td><td>2 of 3</td></tr>" in page
    assert "95 % intervals of the means" not in page  # of an evaluation by an older version
    assert "<li>NSD at a tolerance of 1.5 mm.</li>" in page
    assert "Materialize cv_evaluation and cv_summary again" not in page
    assert "has no &lt;prediction&gt;" in page
    assert "data:image/svg+xml;base64,PHN2Zy8+" in page


def test_the_page_has_the_intervals_of_surfaces_and_how_they_were_made() -> None:
    hd95_mm = {**HD95_MM, "q1": 2.0, "q3": 3.0, "ci_low": 2.125, "ci_high": 2.875}
    label = {"n_cases": 12, "metrics": {"dice": HD95_MM, "hd95_mm": hd95_mm}}
    drawn = {"clustered_by": "patient", "n_clusters": 7, "n_resamples": 9999, "seed": 1, "confidence": 0.95}
    page = cv_page(summary(), {}, {}, [], {**EVALUATION, "labels": {"A": label}, "bootstrap": drawn})
    assert "<td>none</td><td>none</td><td>2.125 to 2.875</td><td>none</td>" in page  # Dice, IoU, HD95, ASSD
    assert "bootstrap (BCa) of 7 patients, 9999 resamples, made by an older version" in page
    drawn["method"] = "bayesian"
    page = cv_page(summary(), {}, {}, [], {**EVALUATION, "labels": {"A": label}, "bootstrap": drawn})
    assert "Bayesian bootstrap of 7 patients (9999 resamples)" in page


def test_a_label_may_be_called_as_another_column_is() -> None:
    names = ("case", "fold", "mean over labels")
    scores = {"bad": dict(zip(names, (0.1, 0.2, 0.3), strict=True))}
    page = cv_page(summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", scores)]), {}, {}, [], EVALUATION)
    cells = ("bad", "fold_0", "0.200", "0.100", "0.200", "0.300")
    assert "".join(f"<td>{cell}</td>" for cell in cells) in page


def test_the_page_says_what_the_folds_took_and_in_which_versions_they_differ() -> None:
    folds = [
        replace(build_fold_result(fold, {fold: {"A": 0.5}}), gpu_hours=1.5, peak_memory_bytes={"gpu": 3 * 2**30})
        for fold in ("fold_0", "fold_1")
    ]
    manifests = {
        fold.fold: replace(build_manifest(Path(fold.fold)), versions={"torch": version, "nnunetv2": "2.8.1"})
        for fold, version in zip(folds, ("2.14", "2.15"), strict=True)
    }
    page = cv_page(summarize(EXPERIMENT, ["fold_0", "fold_1"], folds), manifests, {}, [], EVALUATION)
    assert "<b>3.0</b>GPU hours" in page
    assert "<b>3.0 GiB</b>peak memory (gpu)" in page
    assert "<td>1.50</td><td>3.0 GiB (gpu)</td>" in page
    assert "<dt>torch</dt><dd><code>2.14 or 2.15</code></dd>" in page
    assert "<dt>nnunetv2</dt><dd><code>2.8.1</code></dd>" in page
    # The evaluation was made before the second fold.
    assert "Surfaces and volumes are of fold_0, the scores of fold_0, fold_1. Materialize cv_evaluation" in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_shows_it_sorts_its_cases_and_asks_nobody(tmp_path: Path) -> None:
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright

    file = tmp_path / "cv_report.html"
    file.write_text(cv_page(summary(), {}, {}, [PageFigure("A figure.", FIGURE, "image/svg+xml")], EVALUATION))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        page = browser.new_page()
        asked, problems = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(file.as_uri())
        cases = page.locator("table").last
        assert cases.locator("tbody tr td:first-child").all_inner_texts() == ["bad", "good"]
        for _ in range(2):
            cases.locator("thead button").first.click()
        assert cases.locator("tbody tr td:first-child").all_inner_texts() == ["good", "bad"]
        assert page.evaluate("document.images[0].naturalWidth") == 20
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
        assert problems == []
        browser.close()


def test_the_page_shows_names_and_runs_none_and_asks_nothing_of_a_network() -> None:
    page = cv_page(summary_of_nasty_names(), {}, {}, [], EVALUATION)
    check_page_of_nasty_names(page)
    assert len(NASTY_NAMES) * 2 <= page.count("<tr>")


def test_the_gap_to_a_test_set_is_shown_where_there_is_one() -> None:
    dice = {"A": {metric: [0.5, 0.7] for metric in GAP_METRICS}}
    page = cv_page(summary(), {}, {}, [], EVALUATION, gaps=find_gaps(dice, dice, ["a", "b"]))
    assert "<h2>Test set</h2>" in page
    assert "Dice 0.600 on the test set, 0.600 in the cross-validation (0.000)" in page
    assert "<td>2 of 2</td><td>2 of 2</td>" in page
    assert "a validation case by the one fold that has not seen it." in page
    assert "<h2>Test set</h2>" not in cv_page(summary(), {}, {}, [], EVALUATION)


def test_the_gap_to_a_hold_out_is_not_called_one_to_a_cross_validation() -> None:
    dice = {"A": {metric: [0.5, 0.7] for metric in GAP_METRICS}}
    alone = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", CASES)])
    page = cv_page(alone, {}, {}, [], EVALUATION, gaps=find_gaps(dice, dice, ["a", "b"]))
    assert "Each fold was trained" not in page
    shown = page.split("<h2>Test set</h2>")[1].split("<h2>Figures</h2>")[0]
    assert "Dice 0.600 on the test set, 0.600 in the hold-out (0.000)" in shown
    assert "cross-validation" not in shown
    assert "all folds" not in shown


def test_the_methods_say_what_the_folds_were_trained_with() -> None:
    text = methods_paragraph(summary(), {}, {"fold_0": PARAMETERS})
    assert "in a cross-validation of 2 folds, of which 1 are finished." in text
    assert "epochs of 250 iterations with a batch size of 2 on patches of 40 × 56 × 40 voxels" in text
    assert "at a spacing of 1 × 1 × 1.5 mm" in text
    assert "SGD (initial learning rate 0.01, momentum 0.99, weight decay 3e-05), the schedule PolyLRScheduler" in text


def test_the_methods_name_the_checkpoint_and_claim_no_splits_that_nobody_proved() -> None:
    assert "predicted once, with checkpoint_final.pth of the model that was not trained on it." in methods_paragraph(
        summary(), {}, {}
    )
    adopted = replace(INPUTS, raw_hash=UNKNOWN, splits_hash=UNKNOWN)
    fold = replace(build_fold_result("fold_0", CASES, adopted), validated=UNKNOWN)
    text = methods_paragraph(summarize(EXPERIMENT, ["fold_0"], [fold]), {}, {})
    assert (
        "predicted once, with a checkpoint that is not known of the model of its fold; that this model was not" in text
    )
    best = replace(build_fold_result("fold_0", CASES), validated="checkpoint_best.pth")
    assert "with checkpoint_best.pth of" in methods_paragraph(summarize(EXPERIMENT, ["fold_0"], [best]), {}, {})


def test_the_methods_name_what_differs_between_folds_and_leave_out_what_nobody_knows() -> None:
    two = [
        build_fold_result("fold_0", CASES),
        replace(build_fold_result("fold_1", {"x": {"A": 1.0, "B": 1.0}}), n_epochs=7),
    ]
    text = methods_paragraph(summarize(EXPERIMENT, ["fold_0", "fold_1"], two), {}, {"fold_0": {}, "fold_1": {}})
    assert re.search(r"trained for \d+ or 7 epochs", text)
    assert "batch size" not in text
    assert "optimizer" not in text
