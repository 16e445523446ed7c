"""`best`, as a user calls it, on summaries without a training."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets import api
from nnunet_assets.cli.main import main
from nnunet_assets_tests.comparison_builders import DATASET, DECLARED, LONG, PLAIN, summarized
from nnunet_assets_tests.project_builders import write_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path, {"defs.yaml": DECLARED})


def run(project: Path, arguments: Sequence[str]) -> Result:
    return CliRunner().invoke(main, ["best", "--project", str(project), *arguments], terminal_width=80)


def test_shows_the_choice_the_reason_and_what_else_to_know(project: Path) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)

    shown, machine = run(project, [DATASET]), run(project, [DATASET, "--json"])

    assert shown.exit_code == machine.exit_code == 0, shown.output
    words = " ".join(shown.stdout.split())
    assert f"{DATASET}: {LONG.identity.name_in_dataset}, of 2 candidates on 8 cases; no expected Dice" in words
    assert "is told from every other" in words
    assert "2 folds are finished, and it takes 3" in words
    assert json.loads(machine.stdout)["chosen"] == LONG.identity.name_in_dataset
    assert json.dumps(api.best(DATASET, project=project).to_json(), indent=2) == machine.stdout.strip()


def test_ends_with_2_where_an_experiment_is_no_candidate(project: Path) -> None:
    summarized(project, PLAIN, 0.0)

    result = run(project, [DATASET])

    assert result.exit_code == 2
    assert "is the only candidate" in result.stdout
    assert f"Left out: {LONG.identity.name_in_dataset}" in " ".join(result.stdout.split())


def test_ends_with_1_where_there_is_nothing_to_choose_from(project: Path) -> None:
    nothing, unknown = run(project, [DATASET]), run(project, ["Dataset002_Other"])

    assert (nothing.exit_code, unknown.exit_code) == (1, 1)
    assert f"No experiment of {DATASET} has a complete summary" in nothing.stderr
    assert "Dataset002_Other" in unknown.stderr
