"""Pages from what lies on the disk."""

from html import unescape
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.evaluation.gap import (
    GAP_COLUMNS,
    GAP_FILE,
    TESTED_FOLDER,
    drawn_for_gaps,
    find_gaps,
    gaps_to_json,
)
from nnunet_assets.core.files.json_file import load_json, write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots, comparison_folder
from nnunet_assets.core.fold.commit import commit_sha256
from nnunet_assets.core.text.places import Places
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import SummaryError
from nnunet_assets.reports.pages import cv_page, dataset_page
from nnunet_assets.reports.tables.gap_tables import gap_headline
from nnunet_assets.reports.text.interval_notes import interval_notes
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets.workflows.results import export_pages as workflow
from nnunet_assets.workflows.results.compare import FOREST_CAPTION, FOREST_FILE, make_comparison
from nnunet_assets.workflows.results.export_figures import FIGURES, export_figures
from nnunet_assets.workflows.results.export_pages import ExportedPage, export_cv_report, export_dataset_report
from nnunet_assets_tests import comparison_builders
from nnunet_assets_tests.comparison_builders import LONG, PLAIN, roots_of
from nnunet_assets_tests.project_builders import write_project
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


def test_the_gap_to_the_test_set_is_shown_where_these_folds_predicted_it(finished: Settings, summarized: Roots) -> None:
    evaluate(finished)
    scores = {"organ": {metric: [0.25, 0.5] for metric in GAP_COLUMNS}}
    gaps = find_gaps(scores, {"organ": {metric: [0.75] for metric in GAP_COLUMNS}}, ["t1", "t2"])
    of_these = {"fold_0": commit_sha256(EXPERIMENT.fold_folder(summarized, "fold_0"))}
    file = EXPERIMENT.summary_folder(summarized) / TESTED_FOLDER / GAP_FILE
    shown = {}
    for folds in (of_these, {"fold_0": "another"}):
        write_json_atomically(file, gaps_to_json(gaps, "digest", folds))
        shown[folds["fold_0"]] = export(summarized).file.read_text()
    with_gaps, without = shown.values()
    notes = [note for note in interval_notes(drawn_for_gaps(load_json(file)), of="test mean") if "test mean" in note]
    assert notes
    for text in (*notes, gap_headline(gaps)):
        assert text in unescape(with_gaps)
        assert text not in unescape(without)


def test_what_is_not_of_the_folds_on_the_disk_is_refused(finished: Settings) -> None:
    refuses_what_is_not_of_the_folds_on_the_disk(finished.roots, export)


def test_without_the_declared_evaluation_it_says_what_to_do(finished: Settings, summarized: Roots) -> None:
    refuses_what_was_not_evaluated_as_declared(finished, export)


def test_the_page_of_a_dataset_without_a_comparison_says_what_to_do(summarized: Roots) -> None:
    with pytest.raises(SummaryError, match=r"comparison\.json is missing\. Materialize comparison first\."):
        export_dataset_report(summarized, EXPERIMENT.dataset, [EXPERIMENT], Places(), ELSEWHERE)


@pytest.fixture
def compared(tmp_path: Path) -> Settings:
    """A project of two experiments with a comparison."""
    project = write_project(tmp_path, {"defs.yaml": comparison_builders.DECLARED})
    for config in (PLAIN, LONG):
        comparison_builders.summarized(tmp_path, config, 0.0)
    make_comparison(roots_of(tmp_path), read_project(project), comparison_builders.DATASET, Places())
    return Settings.from_environment(project, {})


def test_the_page_of_a_dataset_has_comparison_experiments_and_ensembles(
    compared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(dataset_page, "dataset_page", lambda *made_of: made.append(made_of) or "<head></head>")
    recorded = RecordedRuns()
    monkeypatch.setattr(workflow, "bring_up_to_date", recorded)
    roots, dataset = compared.roots, comparison_builders.DATASET
    folder = comparison_folder(roots, dataset)
    experiments = [PLAIN.identity, LONG.identity]
    (PLAIN.identity.summary_folder(roots) / "cv_report.html").touch()
    (folder / "comparison_differences.svg").unlink(missing_ok=True)

    page = export_dataset_report(roots, dataset, experiments, Places(), ELSEWHERE)

    ((comparison, entries, figures, places, best),) = made
    assert page.file == folder / "dataset_report.html"
    assert page.headline == comparison.headline()
    assert "nnunet_assets" in page.file.read_text()
    assert [(run, files) for run, files, _ in recorded.runs] == [(recorded.runs[0][0], ["dataset_report.html"])]
    assert (figures, places, best) == ([], Places(), None)
    assert [(one.name, one.is_found) for one in entries] == [(one.name_in_dataset, False) for one in experiments]
    linked, bare = entries
    assert linked.report.endswith("/cv_report.html")
    assert (bare.report, bare.summary is not None) == (None, True)


def test_a_forest_and_a_choice_that_are_there_are_shown(compared: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(dataset_page, "dataset_page", lambda *made_of: made.append(made_of) or "<head></head>")
    roots, dataset = compared.roots, comparison_builders.DATASET
    folder = comparison_folder(roots, dataset)
    (folder / f"{FOREST_FILE}.svg").write_text("<svg></svg>")
    best = find_best_configuration(compared, read_project(compared.project), dataset, with_postprocessing=False)
    content = best.to_json()
    content["made_of"] = {**content["made_of"], "ensembles/both": "1", "ensembles/declared": "2", "others/x": "3"}
    write_json_atomically(folder / "best_configuration.json", content)
    experiments = [PLAIN.identity, Experiment.ensemble(dataset, "declared")]
    export_dataset_report(roots, dataset, experiments, Places(), ELSEWHERE)
    (_, entries, figures, _, chosen) = made[0]
    assert figures == [cv_page.PageFigure(FOREST_CAPTION, b"<svg></svg>", "image/svg+xml")]
    assert chosen.chosen == best.chosen
    assert [(one.name, one.is_found) for one in entries] == [
        (PLAIN.identity.name_in_dataset, False),
        ("ensembles/declared", False),
        ("ensembles/both", True),
    ]
    # Which nobody made: it has no summary, and why.
    assert (entries[1].summary, "is missing" in entries[1].problem) == (None, True)
    (folder / "best_configuration.json").write_text("{}")
    export_dataset_report(roots, dataset, experiments, Places(), ELSEWHERE)
    assert made[1][4] is None
