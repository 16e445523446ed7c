"""Figures from a summary and an evaluation on the disk."""

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results import export_figures as workflow
from nnunet_assets.workflows.results.export_figures import FIGURES, export_figures
from nnunet_assets_tests.workflows.results.exports import (
    DECLARED,
    ELSEWHERE,
    EXPERIMENT,
    RecordedRuns,
    evaluate,
    refuses_what_is_not_of_the_folds_on_the_disk,
    refuses_what_was_not_evaluated_as_declared,
)


def test_they_are_made_without_raw_data_and_the_summarys_run_has_them_too(
    finished: Settings, summarized: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(finished)
    recorded = RecordedRuns()
    monkeypatch.setattr(workflow, "bring_up_to_date", recorded)

    first = export_figures(summarized, EXPERIMENT, DECLARED, ELSEWHERE)

    assert first.folder == EXPERIMENT.summary_folder(summarized) / "figures"
    assert list(first.previews_png) == list(FIGURES)
    assert all(preview.startswith(b"\x89PNG") for preview in first.previews_png.values())
    files = [f"{name}.{ending}" for name in FIGURES for ending in ("svg", "png")]
    assert {path.name for path in first.folder.iterdir()} == set(files)
    assert (first.folder / "volumes.svg").read_text().startswith("<?xml")
    assert recorded.runs == [(f"{EXPERIMENT.name} cv", files, "figures")]
    assert first.tracked.run_id == f"{EXPERIMENT.name} cv"


def test_what_is_not_of_the_folds_on_the_disk_is_refused(finished: Settings) -> None:
    refuses_what_is_not_of_the_folds_on_the_disk(
        finished.roots, lambda roots: export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE)
    )


def test_without_the_declared_evaluation_it_says_what_to_do(finished: Settings, summarized: Roots) -> None:
    refuses_what_was_not_evaluated_as_declared(
        finished, lambda roots: export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE)
    )
