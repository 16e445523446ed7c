"""`models` and `promote`, as a user calls them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets import api
from nnunet_assets.cli.main import main
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.registry.registration import project_of, register_package, set_alias
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.registry_builders import MODEL, registration, run_in, write_package
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Path:
    """A folder that is a project, of which no dataset is declared yet."""
    return write_project(tmp_path, {})


def run(project: Path, *arguments: str, answer: str = "") -> Result:
    command, *others = arguments
    return CliRunner().invoke(main, [command, "--project", str(project), *others], input=answer, terminal_width=80)


def test_a_project_without_models_says_how_to_get_one(tmp_path: Path) -> None:
    shown = run(tmp_path, "models")
    assert (shown.exit_code, "No model is registered. Declare `register: NAME`" in shown.output) == (0, True)
    assert json.loads(run(tmp_path, "models", "--json").stdout) == []
    wrong = run(tmp_path, "models", "--yes")
    assert (wrong.exit_code, "go with --clear" in wrong.output) == (1, True)


def test_versions_are_listed_promoted_and_cleared_after_a_question(with_store: Settings, tmp_path: Path) -> None:
    destination = Destination.of(with_store)
    run_id = run_in(destination)
    for k in range(3):
        wanted = registration(write_package(tmp_path / f"p{k}", f"weights {k}"), run_id)
        numbers = {"dice": f"0.9{k}0 (50 cases)", **({"expected_dice": "0.870 (50 cases)"} if k == 2 else {})}
        tags = {f"nnunet_assets.number.{name}": text for name, text in numbers.items()}
        register_package(destination, replace(wanted, tags={**wanted.tags, **tags}))
    set_alias(destination, MODEL, "champion", 2)

    shown = run(tmp_path, "models")
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.output.splitlines())) <= 80
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.output.splitlines() if "│" in line]
    # Of a model that was chosen, what is to be expected of it.
    assert [row[:4] for row in rows if row[0] == MODEL] == [
        [MODEL, "3", "challenger", "0.870"],
        [MODEL, "2", "champion", "0.910"],
        [MODEL, "1", "", "0.900"],
    ]
    machine = json.loads(run(tmp_path, "models", MODEL, "--json").stdout)
    assert [(one["version"], one["aliases"]) for one in machine] == [(3, ["challenger"]), (2, ["champion"]), (1, [])]
    assert [one.version for one in api.models(MODEL, project=tmp_path)] == [3, 2, 1]

    refused = run(tmp_path, "promote", MODEL, "1")
    assert (refused.exit_code, "does not pass the gate" in refused.output) == (1, True)
    forced = run(tmp_path, "promote", MODEL, "3", "--force", "for a test")
    assert (forced.exit_code, f"models:/{MODEL}/3 is the champion" in forced.output) == (0, True)

    dry = run(tmp_path, "models", "--clear", "--dry-run")
    assert f"Nothing was deleted. Would be: models:/{MODEL}/2, models:/{MODEL}/1" in " ".join(dry.output.split())
    assert "Nothing was deleted" in run(tmp_path, "models", "--clear", answer="n\n").output
    assert "Delete 2 versions and their files" in (cleared := run(tmp_path, "models", "--clear", answer="y\n")).output
    assert f"Cleared: models:/{MODEL}/2, models:/{MODEL}/1." in " ".join(cleared.output.split())
    assert [one.version for one in api.models(project=tmp_path)] == [3]
    assert "there is nothing to clear" in run(tmp_path, "models", "--clear", "--yes").output

    left = leave_logged_model(destination)
    dry = run(tmp_path, "models", "--clear", "--dry-run")
    assert f"Would be: {left} of {MODEL}, which no version shows, 1000 B." in " ".join(dry.output.split())
    asked = run(tmp_path, "models", "--clear", answer="n\n").output
    assert "Delete 1 logged model that no version shows, 1000 B?" in asked
    machine = json.loads(run(tmp_path, "models", "--clear", "--yes", "--json").stdout)
    assert (machine["cleared"], machine["bytes"], machine["left"][0]["model_id"]) == (True, 1000, left)
    assert "there is nothing to clear" in run(tmp_path, "models", "--clear", "--yes").output


def leave_logged_model(destination: Destination) -> str:
    """Leaves what a registration leaves that is killed before its version is made."""
    client, run_id = connect(destination), run_in(destination)
    experiment_id = client.get_run(run_id).info.experiment_id
    tags = {
        registry_names.PACKAGE: "d" * 64,
        registry_names.PACKAGE_BYTES: "1000",
        registry_names.PROJECT: project_of(destination),
    }
    return str(client.create_logged_model(experiment_id, MODEL, run_id, tags).model_id)


def test_a_registry_that_is_down_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for command in (["models"], ["promote", "Liver", "1"]):
        shown = run(tmp_path, *command, "--tracking-uri", "http://127.0.0.1:9")
        assert (shown.exit_code, "is not reachable" in shown.output, "Traceback" in shown.output) == (1, True, False)
