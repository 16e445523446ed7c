"""`list` on real stores: every group, and in a sentence where there is none."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import main
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.cli.results.commands import run
from nnunet_assets_tests.project_builders import DATASET as DECLARED_DATASET
from nnunet_assets_tests.project_builders import EXPERIMENT as DECLARED_EXPERIMENT
from nnunet_assets_tests.project_builders import documents, write_project
from nnunet_assets_tests.tracked_projects import DATASET, EXPERIMENT
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


def test_list_shows_every_group_and_says_where_nothing_is(tracked: Settings) -> None:
    table = run(tracked, "list").stdout
    assert f"{DATASET}\n" in table
    assert EXPERIMENT.name in table
    assert "0, 1, 2" in table
    folder = run(tracked, "list", "--source", "results", "--json")
    assert json.loads(folder.stdout)["experiments"][DATASET][0]["n_runs"] == {"FINISHED": 3}


def test_no_more_are_shown_than_are_asked_for_and_the_others_are_named(tracked: Settings) -> None:
    client = connect(Destination.of(tracked))
    tags = {"nnunet_tracker.run_type": "fold", "nnunet_tracker.fold": "0"}
    client.create_run(client.create_experiment("another"), tags=tags)
    shown = run(tracked, "list", "--max-experiments", "1")
    assert (shown.exit_code, EXPERIMENT.name in shown.stdout) == (0, True)
    assert shown.stderr.endswith("Left out by --max-experiments: another.\n")
    assert list(json.loads(run(tracked, "list", "--max-experiments", "9", "--json").stdout)["experiments"]) == [
        DATASET,
        "another",
    ]


def test_options_that_contradict_each_other_are_refused(tracked: Settings) -> None:
    result = run(tracked, "list", "--source", "dagster", "--tracking-uri", "http://x")
    assert result.exit_code == 1
    assert "--tracking-uri belongs to --source mlflow" in result.stderr


def test_a_store_that_is_not_there_is_not_made(with_store: Settings, tmp_path: Path) -> None:
    result = run(with_store, "list", "--tracking-uri", f"sqlite:///{tmp_path}/other.db")
    assert result.exit_code == 1
    assert "nothing was tracked so far" in result.stderr
    assert not (tmp_path / "other.db").exists()


def test_an_empty_store_is_not_filled_by_looking(with_store: Settings, tmp_path: Path) -> None:
    (empty := tmp_path / "other.db").touch()
    result = run(with_store, "list", "--tracking-uri", f"sqlite:///{empty}")
    assert result.exit_code == 1
    assert f"{empty} is empty: nothing was tracked so far" in result.stderr
    assert empty.stat().st_size == 0


def test_a_results_folder_without_models_is_an_error(with_store: Settings, tmp_path: Path) -> None:
    for folder, sentence in ((tmp_path, "holds no model"), (tmp_path / "no", "is not there")):
        result = run(with_store, "list", "--results", folder)
        assert result.exit_code == 1
        assert sentence in result.stderr


class TestBeforeTheFirstRun:
    def test_what_is_declared_is_shown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_project(tmp_path, {"defs.yaml": documents(DECLARED_DATASET, DECLARED_EXPERIMENT)})
        name = "Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__2d"

        result = CliRunner().invoke(main, ["list", "--project", str(tmp_path)])
        as_json = CliRunner().invoke(main, ["list", "--project", str(tmp_path), "--json"])

        assert result.stdout == (
            f"Nothing was tracked so far: sqlite:///{tmp_path}/data/mlflow.db is not there yet.\n"
            f"Declared, without a run so far:\n  {name}\n"
        )
        assert json.loads(as_json.stdout)["declared_only"] == [name]
        assert not (tmp_path / "data").exists()

    def test_a_fresh_folder_has_nothing_to_list_and_that_is_no_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        result = CliRunner().invoke(main, ["list", "--project", str(tmp_path)])
        assert (result.exit_code, "Nothing was tracked so far" in result.stdout) == (0, True)

    def test_wrong_declarations_are_said_and_the_record_is_shown(self, tracked: Settings) -> None:
        write_project(tracked.project, {"defs.yaml": "a: [\n"})

        result = run(tracked, "list")

        assert result.exit_code == 0
        assert "0, 1, 2" in result.stdout
        assert result.stderr.startswith("1 error in the declarations of ")
