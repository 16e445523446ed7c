"""`compare`, as a user calls it, on summaries without a training."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main
from nnunet_assets.core.files.layout import comparison_folder
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.comparison_builders import DATASET, DECLARED, LONG, PLAIN, roots_of, summarized
from nnunet_assets_tests.project_builders import write_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path, {"defs.yaml": DECLARED})


def run(project: Path, arguments: Sequence[str]) -> Result:
    return CliRunner().invoke(main, ["compare", "--project", str(project), *arguments])


def test_shows_what_the_asset_writes(project: Path) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)

    shown, machine = run(project, [DATASET]), run(project, [DATASET, "--json"])

    assert shown.exit_code == machine.exit_code == 0, shown.output
    assert "2 experiments on 8 shared cases" in shown.stdout
    assert json.loads(machine.stdout)["differences"][0]["metric"] == "dice"
    assert not comparison_folder(roots_of(project), DATASET).exists()


def test_ends_with_2_where_an_experiment_was_left_out(project: Path) -> None:
    summarized(project, PLAIN, 0.0)

    result = run(project, [DATASET])

    assert result.exit_code == 2
    assert "Left out: long/nnUNetTrainer__nnUNetPlans__2d" in result.stdout.replace("\n", "")


def test_ends_with_1_where_they_must_not_be_compared_or_there_is_no_such_dataset(project: Path) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1, inputs=replace(INPUTS, raw_hash="other"))

    refused, unknown = run(project, [DATASET]), run(project, ["Dataset002_Other"])

    assert (refused.exit_code, unknown.exit_code) == (1, 1)
    assert "they differ in raw data." in refused.stderr
    assert "Dataset002_Other" in unknown.stderr
