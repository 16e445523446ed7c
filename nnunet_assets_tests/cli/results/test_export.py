"""`export` on real stores: whatever a label is called, and whatever is asked of it."""

import csv
from pathlib import Path

from nnunet_assets.settings import Settings
from nnunet_assets_tests.cli.results.commands import run
from nnunet_assets_tests.tracked_projects import DATASET
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


def test_names_are_text_in_csv_and_latex(tracked: Settings, tmp_path: Path) -> None:
    made = run(tracked, "export", "-e", DATASET, "--format", "csv", "-o", tmp_path / "cv.csv")
    assert (made.exit_code, made.stdout) == (2, "")
    rows = list(csv.DictReader((tmp_path / "cv.csv").read_text().splitlines()))
    assert [row["label"] for row in rows[::2]] == ["tumor (core)", "'=edema & <rest>", "foreground mean"]
    latex = run(tracked, "export", "-e", DATASET, "--format", "latex", "--caption", r"50% \input{x}", "--label", "t:1")
    assert r"=edema \& \textless{}rest\textgreater{}" in latex.stdout
    assert r"\caption{50\% \textbackslash{}input\{x\}}" in latex.stdout
    assert r"\label{t:1}" in latex.stdout


def test_a_row_a_fold_is_written_where_it_is_asked_for(tracked: Settings) -> None:
    made = run(tracked, "export", "-e", DATASET, "-f", "csv", "--rows", "fold")
    rows = list(csv.DictReader(made.stdout.splitlines()))
    assert [row["fold"] for row in rows] == [*(f"fold_{index}" for index in range(5)), "mean", "sd"]
    assert [row["status"] for row in rows[:5]] == ["FINISHED"] * 3 + ["missing"] * 2
    assert [float(row["dice/tumor (core)"]) for row in rows[1:2]] == [0.31]
    assert all(len(row["run_id"]) == 32 for row in rows[:3])
    latex = run(tracked, "export", "-e", DATASET, "-f", "latex", "--rows", "fold", "--label", "t:1").stdout
    assert r"fold\_1 & \num{0.305}" in latex
    assert r"Mean $\pm$ SD" in latex


def test_what_cannot_be_is_refused(tracked: Settings, tmp_path: Path) -> None:
    wrong = run(tracked, "export", "-e", DATASET, "--format", "latex", "--label", "a}b")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert run(tracked, "export", "-e", DATASET, "--format", "csv", "--caption", "x").exit_code == 1
    (tmp_path / "file").write_text("")
    blocked = run(tracked, "export", "-e", DATASET, "--format", "csv", "-o", tmp_path / "file" / "x.csv")
    assert blocked.exit_code == 1
    assert "cannot be written" in blocked.stderr
