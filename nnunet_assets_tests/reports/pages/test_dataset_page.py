"""The report of a dataset as a page: every experiment, the comparison, every name as text, nothing from elsewhere."""

from dataclasses import replace
from typing import Any

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.comparison.comparison import compare
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.reports.pages.cv_page import PageFigure
from nnunet_assets.reports.pages.dataset_page import Entry, dataset_page
from nnunet_assets_tests.builders import INPUTS, build_fold_result
from nnunet_assets_tests.reports.page_checks import check_page_of_nasty_names
from nnunet_assets_tests.reports.tables.test_best_configuration_rows import CHOICE
from nnunet_assets_tests.reports.tables.test_comparison_table import nasty
from nnunet_assets_tests.reports.tables.test_summary_tables import NASTY_NAMES

DATASET = "Dataset001_X"
FIGURE = PageFigure("A figure.", b"<svg/>", "image/svg+xml")


def summary(configuration: Any, shift: Any) -> Any:
    cases = {f"case_{k}": {"A": 0.5 + k / 20 + shift} for k in range(8)}
    return summarize(Experiment(DATASET, configuration), ["fold_0"], [build_fold_result("fold_0", cases)])


def page_of_two_and_a_missing_one() -> Any:
    both = [summary("2d", 0.0), summary("3d_fullres", 0.1)]
    names = [one.experiment.name_in_dataset for one in both]
    entries = [Entry(names[0], both[0], "", "../M/nnunet_assets/cv_report.html"), Entry(names[1], both[1], "", None)]
    late = Entry("late", None, "its <summary> is missing", None)
    found = compare(DATASET, [ComparedExperiment.of(one) for one in both], {"late": late.problem})
    return dataset_page(found, [*entries, late], [FIGURE])


def test_the_page_has_every_experiment_the_comparison_and_what_is_missing() -> None:
    page = page_of_two_and_a_missing_one().replace("<wbr>", "").replace(' class="name"', "")
    assert "<b>2 of 3</b>experiments compared" in page
    assert 'href="../M/nnunet_assets/cv_report.html">nnUNetTrainer__nnUNetPlans__2d</a>' in page
    assert "Not compared: late: its &lt;summary&gt; is missing" in page
    assert '<td class="warning" colspan="5">no summary</td>' in page
    assert "<td>3d_fullres</td><td><b>0.775 ± 0.122</b></td>" in page
    assert "<td>2d</td><td>0.675 ± 0.122</td>" in page
    assert "<td>2d</td><td>3d_fullres</td><td>-0.1000</td>" in page
    assert "data:image/svg+xml;base64,PHN2Zy8+" in page
    for digest in (INPUTS.raw_hash, INPUTS.splits_hash, INPUTS.plans_hash, INPUTS.training_hash):
        assert f"<code>{digest}</code>" in page
    assert "all 256 halves of the 8 cases, seed" in page


def test_the_choice_is_told_by_its_numbers_and_the_number_to_expect_comes_first() -> None:
    entry = Entry("a__b__2d", summary("2d", 0.0), "", None)
    found = compare(DATASET, [ComparedExperiment.of(entry.summary)], {})
    page = dataset_page(found, [entry], [], best=CHOICE).replace("<wbr>", "")
    assert "<p><b>a__b__2d</b>, of 2 candidates on 10 cases.</p>" in page
    assert page.index("<b>0.864</b>Dice to expect") < page.index("<b>0.870</b>the mean by which it was chosen")
    assert '<td class="name">a__b__2d</td><td class="left">yes</td><td>0.870</td>' in page
    unknown = dataset_page(found, [entry], [], best=replace(CHOICE, expected=None, not_expected_because="2 folds"))
    assert "No Dice to expect: 2 folds." in unknown


def test_the_page_names_no_case() -> None:
    assert "case_" not in page_of_two_and_a_missing_one()


def test_the_page_shows_names_and_runs_none_and_asks_nothing_of_a_network() -> None:
    page = dataset_page(nasty(), [Entry(name, None, name, None) for name in NASTY_NAMES], [FIGURE])
    check_page_of_nasty_names(page)


def test_with_one_experiment_the_page_says_that_there_is_nothing_to_compare() -> None:
    alone = summary("2d", 0.0)
    name = alone.experiment.name_in_dataset
    page = dataset_page(compare(DATASET, [ComparedExperiment.of(alone)], {}), [Entry(name, alone, "", None)], [])
    assert "there is nothing to compare yet" in page
    assert "<h2>Differences</h2>" not in page
    assert name in page
