"""Figures from a summary and an evaluation on the disk."""

from dataclasses import replace

import pytest

from nnunet_assets.core.evaluation.case_slice import CaseSlice
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.reports.figures import case_slices
from nnunet_assets.reports.figures.style import new_figure
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results import export_figures as workflow
from nnunet_assets.workflows.results.export_figures import FIGURES, export_figures
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets_tests.builders import build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case, write_fold
from nnunet_assets_tests.raw_builders import tiny_json, write_json
from nnunet_assets_tests.workflows.results.exports import (
    DECLARED,
    ELSEWHERE,
    EXPERIMENT,
    FOLDS,
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
    assert recorded.runs == [("2d cv", files, "figures")]
    assert first.tracked.run_id == "2d cv"


def test_what_is_not_of_the_folds_on_the_disk_is_refused(finished: Settings) -> None:
    refuses_what_is_not_of_the_folds_on_the_disk(
        finished.roots, lambda roots: export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE)
    )


def test_without_the_declared_evaluation_it_says_what_to_do(finished: Settings, summarized: Roots) -> None:
    refuses_what_was_not_evaluated_as_declared(
        finished, lambda roots: export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE)
    )


def test_the_worst_cases_and_the_median_one_are_shown_where_their_files_are(
    finished: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = finished.roots
    dices = {case: (k + 1) / 10 for k, case in enumerate("abcdefghij")}
    folder = write_fold(roots, EXPERIMENT, "fold_0", dict.fromkeys(dices, HIGHER))
    write_validation_summary(folder, [summary_entry(case, {"1": dice, "2": dice}) for case, dice in dices.items()])
    commit_fold(folder, replace(build_manifest(folder), details={"validation_cases": list(dices)}))
    make_summary(roots, EXPERIMENT, FOLDS)
    evaluate(finished)
    shown: list[CaseSlice] = []
    monkeypatch.setattr(case_slices, "draw_cases", lambda found: shown.extend(found) or new_figure(1.0))

    export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE)
    assert shown == []
    raw = roots.raw / EXPERIMENT.dataset
    write_json(raw / "dataset.json", tiny_json())
    for case in dices:
        write_case(raw / "imagesTr" / f"{case}_0000.nii.gz", REFERENCE)
        write_case(raw / "labelsTr" / f"{case}.nii.gz", REFERENCE)
    (folder / "validation" / "b.nii.gz").unlink()
    export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE)

    assert [one.title for one in shown] == [
        *(f"{case}\nworst {rank}: Dice {dices[case]:.3f}" for rank, case in ((1, "a"), (3, "c"), (4, "d"), (5, "e"))),
        "f\nmedian: Dice 0.600",
    ]
