"""Tables from a summary on the disk."""

import io
from pathlib import Path

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.summary.cross_validation import CVSummary, FoldResult
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.core.verification.seals import seals_in
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import TrackedRun
from nnunet_assets.workflows.results import export_tables as workflow
from nnunet_assets.workflows.results.export_tables import export_csv, export_latex, export_tables
from nnunet_assets_tests.workflows.results.exports import (
    ELSEWHERE,
    EXPERIMENT,
    MEANS_ALONE,
    RecordedRuns,
    refuses_what_is_not_of_the_folds_on_the_disk,
)


def test_they_lie_beside_the_summary_and_the_same_folds_give_the_same_digest(summarized: Roots) -> None:
    first, second = (export_tables(summarized, EXPERIMENT, ELSEWHERE) for _ in range(2))

    folder = EXPERIMENT.summary_folder(summarized)
    endings = ("csv", "tex", "md", "parquet")
    assert dict(first.files) == {ending: folder / f"cv_table.{ending}" for ending in endings}
    assert (folder / "cv_table.parquet").read_bytes().startswith(b"PAR1")
    written = (folder / "cv_table.md").read_text()
    assert written.startswith(first.markdown)
    digest = json_sha256(read_current_summary(summarized, EXPERIMENT).to_json())
    assert [seal.source for seal in seals_in(written)] == [digest]
    assert f"made_from\r\n{'label,organ'}" in (folder / "cv_table.csv").read_bytes().decode()
    assert first.files["csv"].read_text().count(f"sha256:{digest}") == 6
    assert "Dice, pooled" in first.markdown
    assert "\\toprule" in (folder / "cv_table.tex").read_text()
    assert (first.digest, first.tracked) == (second.digest, TrackedRun())


def test_the_summarys_run_has_them_too(summarized: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = RecordedRuns()
    monkeypatch.setattr(workflow, "bring_up_to_date", recorded)

    exported = export_tables(summarized, EXPERIMENT, ELSEWHERE)

    files = [f"cv_table.{ending}" for ending in ("csv", "tex", "md", "parquet")]
    assert recorded.runs == [("2d cv", files, None)]
    assert exported.tracked.run_id == "2d cv"


def test_what_is_not_of_the_folds_on_the_disk_is_refused(finished: Settings) -> None:
    refuses_what_is_not_of_the_folds_on_the_disk(
        finished.roots, lambda roots: export_tables(roots, EXPERIMENT, ELSEWHERE)
    )


def test_one_table_is_returned_and_written_where_a_file_is_named(summarized: Roots, tmp_path: Path) -> None:
    summary = read_current_summary(summarized, EXPERIMENT)
    file = tmp_path / "table.csv"

    assert export_csv(summary, file) == export_csv(summary) == file.read_bytes().decode()
    latex = export_latex(summary, str(file), caption="Ours & theirs", label="tab:ours")
    assert latex == file.read_bytes().decode()
    assert "Ours \\& theirs" in latex
    assert "\\label{tab:ours}" in latex
    with pytest.raises(ConfigError, match=r"cannot be written: .*Name another file\."):
        export_csv(summary, file / "below_a_file.csv")


def test_an_open_file_takes_the_table(summarized: Roots, tmp_path: Path) -> None:
    summary = read_current_summary(summarized, EXPERIMENT)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        text = export_csv(summary, file)
    assert (tmp_path / "table.csv").read_bytes().decode() == text
    assert export_latex(summary, output=(written := io.StringIO())) == written.getvalue()


def test_rows_by_fold_are_had_by_choice_and_of_what_was_built_by_hand_always(summarized: Roots) -> None:
    summary = read_current_summary(summarized, EXPERIMENT)
    assert export_csv(summary, rows="fold").startswith("fold,status,dice_mean,")
    assert "Fold & " in export_latex(summary, rows="fold")
    assert "Fold & " in export_latex(MEANS_ALONE, rows="fold")
    by_hand = CVSummary("group", "name", {0: FoldResult(0, "run", "FINISHED", {1: 0.5}, val_loss=0.25)})
    assert export_csv(by_hand).splitlines()[:2] == [
        "fold,status,val_loss,ema_fg_dice,dice_class_1,run_id",
        "0,FINISHED,0.25,,0.5,run",
    ]
    assert "Cross-validation results for group" in export_latex(by_hand)


def test_fold_means_alone_have_tables_too() -> None:
    assert "organ" in export_csv(MEANS_ALONE)
    assert "organ" in export_latex(MEANS_ALONE)
