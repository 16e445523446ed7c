"""`verify`, as a user calls it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets import api
from nnunet_assets.cli.main import main
from nnunet_assets.core.progress import Silent
from nnunet_assets.workflows.results.export_tables import export_tables
from nnunet_assets_tests.verification_builders import DATASET, ELSEWHERE, EXPERIMENT, finished_project, summarize


@pytest.fixture
def table(tmp_path: Path) -> Path:
    settings = finished_project(tmp_path)
    summarize(settings)
    return export_tables(settings.roots, EXPERIMENT, ELSEWHERE).files["tex"]


def run(project: Path, arguments: Sequence[str | Path]) -> Result:
    return CliRunner().invoke(main, ["verify", "--project", str(project), *map(str, arguments)], terminal_width=80)


def test_ends_by_what_is_found_and_says_it(table: Path, tmp_path: Path) -> None:
    holds, quick = run(tmp_path, [table]), run(tmp_path, [table, "--quick"])
    assert (holds.exit_code, quick.exit_code) == (0, 0), holds.output
    assert "holds (12 things were looked at)" in holds.stdout
    assert "  holds: 4 predicted masks of fold_0" in holds.stdout
    assert "the raw data not read again (--quick)" in " ".join(quick.stdout.split())

    edited = tmp_path / "paper.tex"
    edited.write_text(table.read_text().replace("0.500", "0.600", 1))
    changed = run(tmp_path, [table, edited, "--quick"])
    assert changed.exit_code == 1
    assert "0.600} $\\pm$ \\num{0.000}, and should be \\num{0.500}" in changed.stdout

    (tmp_path / "data" / "nnUNet_preprocessed" / DATASET / "splits_final.json").unlink()
    unknown = run(tmp_path, [table, "--quick", "--json"])
    assert unknown.exit_code == 2
    (found,) = json.loads(unknown.stdout)
    assert found["verdict"] == "unknown"
    (same,) = api.verify(table, quick=True, project=tmp_path, progress=Silent())
    assert same.to_json() == found


def test_wrong_usage_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    missing, nothing = run(tmp_path, [tmp_path / "none.csv"]), run(tmp_path, [])
    assert (missing.exit_code, nothing.exit_code) == (1, 1)
    assert "There is no file" in missing.stderr
