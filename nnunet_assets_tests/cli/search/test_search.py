"""`search`, as a user calls it; folds and Tune are played."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets import api
from nnunet_assets.cli.main import main
from nnunet_assets.declarations.project import read_project
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.workflows.search import run as module
from nnunet_assets_tests.workflows.search.conftest import _clean_environment
from nnunet_assets_tests.workflows.search.played_search import play_in_project

__all__ = ["_clean_environment"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return play_in_project(tmp_path, monkeypatch)


def called(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["search", *arguments, "--project", str(project)], terminal_width=100)


def test_a_search_is_run_looked_at_and_won(project: Path) -> None:
    ran = called(project, "run", "lr", "--tracker-disable")
    assert ran.exit_code == 0, ran.output
    assert "2 trials of 3 points, each of 2 epochs: at most 4 epochs" in ran.stdout
    assert "2 of 2 trials (2 finished); 4 epochs" in ran.stdout
    seen = json.loads(called(project, "status", "lr", "--json").stdout)
    assert (seen["best"], [one["state"] for one in seen["trials"]]) == (0, ["finished"] * 2)
    assert seen["trials"][0]["dice"] == 0.5
    adopted = called(project, "adopt", "lr")
    assert "Its fold_0 is trained; left: fold_1." in adopted.stdout
    assert called(project, "adopt", "lr").stdout.endswith("is declared already.\n")
    (experiment,) = read_project(project).experiments
    assert experiment.variant.name == "lr_000"
    shown = " ".join(called(project, "status", "lr").stdout.split())
    # The same from Python.
    assert api.search("lr", track=False, project=project).best.trial.number == 0
    assert len(api.search_status("lr", project=project).trials) == 2
    assert api.adopt_trial("lr", 1, project=project).config.variant.name == "lr_001"
    assert "Dice 0.5000 over 1 of 2 folds; over those that chose nothing (without fold_0): no other fold" in shown


def test_a_search_that_ended_before_its_trials_is_incomplete(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, folder: Path, **__: object) -> object:
        (folder.parent / "STOP").write_text("its hours are over")
        return ChildResult(0, None, "")

    monkeypatch.setattr(module, "run_child", stopped)
    ran = called(project, "run", "lr", "--tracker-disable")
    assert ran.exit_code == 2
    assert "ended before its trials: its hours are over." in ran.stderr


def test_ctrl_c_says_how_to_go_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_child", interrupted)
    ran = called(project, "run", "lr", "--tracker-disable")
    assert ran.exit_code == 130
    assert "`nnunet-assets search run lr` goes on with the same trials." in ran.stdout
