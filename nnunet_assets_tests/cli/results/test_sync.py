"""`sync` on a real store: what waits in a project's folds gets to MLflow, and what it says about it."""

import json
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main
from nnunet_assets.core.files.layout import SUMMARY_FOLDER, Experiment
from nnunet_assets.settings import Settings
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.tracking.folds import Tracked, start, tracker, train
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return Settings.from_environment(write_project(tmp_path, {}))


def sync(settings: Settings, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["sync", "--project", str(settings.project), *map(str, arguments)])


def waiting(settings: Settings, fold: str, variant: str | None = None) -> Path:
    """A fold of 2 epochs that was tracked while no server was there."""
    folder = Experiment("Dataset004_Hippocampus", "2d", variant=variant).fold_folder(settings.roots, fold)
    with tracker(f"http://127.0.0.1:{free_port()}", folder) as following:
        start(folder, attempt=uuid.uuid4().hex)
        train(folder, 0, 1)
        (folder / "debug.json").write_text(f'"{fold}"')
        following.finish("FINISHED", [folder / "debug.json"], timeout_seconds=0.1)
    return folder


def test_every_fold_of_the_project_gets_its_records_its_ending_and_its_own_files(settings: Settings) -> None:
    waiting(settings, "fold_0", variant="short")
    old = waiting(settings, "fold_1")
    superseded = old.parent / SUMMARY_FOLDER / "superseded" / "fold_1_20300101T000000.000000Z"
    superseded.parent.mkdir(parents=True)
    old.rename(superseded)
    # In the old one's place another training now has a file of the same name.
    (waiting(settings, "fold_1") / "debug.json").write_text('"anew"')

    result = sync(settings)

    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("MLflow has every fold.\n")
    tracked = Tracked(settings.tracking_uri, settings.project)
    assert [run.info.status for run in tracked.runs] == ["FINISHED"] * 3
    for run in tracked.runs:
        assert tracked.history("train_loss", run.info.run_id) == [(0, 0.0), (1, 0.1)]
    files = settings.artifacts.glob("*/artifacts/debug.json")
    assert sorted(json.loads(file.read_text()) for file in files) == ["anew", "fold_0", "fold_1"]


def test_given_folders_alone_are_sent_and_json_tells_each(settings: Settings) -> None:
    fold = waiting(settings, "fold_0")
    waiting(settings, "fold_1")

    result = sync(settings, fold, "--json")

    assert result.exit_code == 0
    (shown,) = json.loads(result.stdout)["folds"]
    assert (shown["folder"], shown["records_sent"], shown["records_waiting"]) == (str(fold), 3, 0)
    assert (shown["is_done"], shown["problem"]) == (True, None)
    assert Tracked(settings.tracking_uri, settings.project).run.info.run_id == shown["run_id"]


def test_a_server_that_is_down_leaves_everything_waiting_and_ends_with_2(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    waiting(settings, "fold_0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    result = sync(settings)

    assert result.exit_code == 2
    assert f"MLflow at {uri} is not reachable" in result.stdout
    assert result.stdout.endswith("1 of 1 folds wait.\n")
    shown = json.loads(sync(settings, "--json").stdout)
    assert (shown["folds"][0]["records_sent"], shown["folds"][0]["records_waiting"]) == (0, 3)


def test_what_mlflow_has_needs_no_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    result = sync(settings)

    assert (result.exit_code, result.stdout) == (0, "MLflow has every fold.\n")


def test_a_folder_without_a_tracked_fold_is_an_error(settings: Settings, tmp_path: Path) -> None:
    assert "is not the folder of a fold: it has no journal" in sync(settings, tmp_path).stderr
    start(tmp_path / "fold_0")

    result = sync(settings, tmp_path / "fold_0")

    assert result.exit_code == 1
    assert "was never tracked" in result.stderr
