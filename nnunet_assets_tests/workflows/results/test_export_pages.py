"""Pages from what lies on the disk."""

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.text.places import Places
from nnunet_assets.errors import SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results import export_pages as workflow
from nnunet_assets.workflows.results.export_figures import FIGURES, export_figures
from nnunet_assets.workflows.results.export_pages import ExportedPage, export_cv_report, export_dataset_report
from nnunet_assets_tests.workflows.results.exports import (
    DECLARED,
    ELSEWHERE,
    EXPERIMENT,
    RecordedRuns,
    evaluate,
    refuses_what_is_not_of_the_folds_on_the_disk,
    refuses_what_was_not_evaluated_as_declared,
)


def export(roots: Roots) -> ExportedPage:
    return export_cv_report(roots, EXPERIMENT, DECLARED, Places(), ELSEWHERE)


def test_the_page_of_an_experiment_shows_what_is_there_and_its_run_has_it_too(
    finished: Settings, summarized: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(finished)
    export_figures(summarized, EXPERIMENT, DECLARED, ELSEWHERE)
    recorded = RecordedRuns()
    monkeypatch.setattr(workflow, "bring_up_to_date", recorded)

    page = export(summarized)

    assert page.file == EXPERIMENT.summary_folder(summarized) / "cv_report.html"
    text = page.file.read_text()
    assert "Not complete: fold_1 missing." in text
    assert text.count("data:image/svg+xml") == len(FIGURES)
    assert page.headline.startswith("1 of 2 folds (fold_1 missing)")
    assert recorded.runs == [("2d cv", ["cv_report.html"], None)]
    (page.file.parent / "figures" / "volumes.svg").unlink()
    without = export(summarized)
    assert without.file.read_text().count("data:image/svg+xml") == len(FIGURES) - 1
    assert without.digest != page.digest


def test_what_is_not_of_the_folds_on_the_disk_is_refused(finished: Settings) -> None:
    refuses_what_is_not_of_the_folds_on_the_disk(finished.roots, export)


def test_without_the_declared_evaluation_it_says_what_to_do(finished: Settings, summarized: Roots) -> None:
    refuses_what_was_not_evaluated_as_declared(finished, export)


def test_the_page_of_a_dataset_without_a_comparison_says_what_to_do(summarized: Roots) -> None:
    with pytest.raises(SummaryError, match=r"comparison\.json is missing\. Materialize comparison first\."):
        export_dataset_report(summarized, EXPERIMENT.dataset, [EXPERIMENT], Places(), ELSEWHERE)
