"""The report of a cross-validation as a page: all numbers, every name as text, nothing from elsewhere."""

import re
from dataclasses import replace

from nnunet_assets.core.commit import UNKNOWN
from nnunet_assets.core.cv_summary import summarize
from nnunet_assets.reports.cv_page import PageFigure, cv_page
from nnunet_assets.reports.methods import methods_paragraph
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, build_fold_result
from nnunet_assets_tests.reports.test_tables import NASTY_NAMES, summary_of_nasty_names

CASES = {"good": {"A": 0.9, "B": 0.7}, "bad": {"A": 0.2, "B": None}, "empty": {"A": None, "B": None}}
PARAMETERS = {
    "trainer": {"num_iterations_per_epoch": 250, "initial_lr": 0.01},
    "data": {"batch_size": 2},
    "plans": {"patch_size": [40, 56, 40], "spacing": [1.0, 1.0, 1.5]},
    "optimizer": {"class": "SGD", "momentum": 0.99, "weight_decay": 3e-5},
    "lr_scheduler": {"class": "PolyLRScheduler"},
    "loss": {"class": "DC_and_CE_loss"},
}

HD95_MM = {"mean": 2.5, "sd": 0.5, "median": 2.4, "n": 3, "n_defined": 2}
EVALUATION = {
    "labels": {"A": {"n_cases": 3, "metrics": {"dice": {**HD95_MM, "mean": 0.55}, "hd95_mm": HD95_MM}}},
    "problems": [{"message": "Case 'gone' has no <prediction>."}],
}


def summary():
    return summarize(EXPERIMENT, ["fold_0", "fold_1"], [build_fold_result("fold_0", CASES)])


def test_the_page_has_the_scores_the_cases_the_worst_first_and_what_is_missing():
    page = cv_page(summary(), {}, {}, [PageFigure("A figure.", b"<svg/>", "image/svg+xml")], EVALUATION)
    assert page.index("<td>bad</td>") < page.index("<td>good</td>")
    assert "<td>0.200</td><td>undefined</td>" in page
    assert "Not complete: fold_1 missing." in page
    assert "<td>A</td><td>0.550</td><td>none</td><td>0.550 [0.375, 0.725]</td>" in page
    assert INPUTS.raw_hash in page
    assert "<td>2.500 ± 0.500</td><td>undefined</td>" in page  # HD95, ASSD
    assert "has no &lt;prediction&gt;" in page
    assert "data:image/svg+xml;base64,PHN2Zy8+" in page


def test_the_page_shows_names_and_runs_none_and_asks_nothing_of_a_network():
    page = cv_page(summary_of_nasty_names(), {}, {}, [], EVALUATION)
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert len(NASTY_NAMES) * 2 <= page.count("<tr>")
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "default-src 'none'" in page


def test_the_methods_say_what_the_folds_were_trained_with():
    text = methods_paragraph(summary(), {}, {"fold_0": PARAMETERS})
    assert "in a cross-validation of 2 folds, of which 1 are finished." in text
    assert "epochs of 250 iterations with a batch size of 2 on patches of 40 × 56 × 40 voxels" in text
    assert "at a spacing of 1 × 1 × 1.5 mm" in text
    assert "SGD (initial learning rate 0.01, momentum 0.99, weight decay 3e-05), the schedule PolyLRScheduler" in text


def test_the_methods_name_the_checkpoint_and_claim_no_splits_that_nobody_proved():
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


def test_the_methods_name_what_differs_between_folds_and_leave_out_what_nobody_knows():
    two = [
        build_fold_result("fold_0", CASES),
        replace(build_fold_result("fold_1", {"x": {"A": 1.0, "B": 1.0}}), n_epochs=7),
    ]
    text = methods_paragraph(summarize(EXPERIMENT, ["fold_0", "fold_1"], two), {}, {"fold_0": {}, "fold_1": {}})
    assert re.search(r"trained for \d+ or 7 epochs", text)
    assert "batch size" not in text
    assert "optimizer" not in text
