"""Whole trainings in folders full of modules that must not run, with secrets around them that must get nowhere.

One fold from the command line, one by the servers of `up`; a planted module leaves a mark when it runs, and a canary is
looked for in everything that was written, and in the environment of every process that ran nnU-Net.
"""

import json
import re
import secrets
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.settings import Settings
from nnunet_assets_tests.dagster_dev import DagsterDev, free_port
from nnunet_assets_tests.phantom_builders import DATASET, phantom_project, variant
from nnunet_assets_tests.planted import Planted
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

EXPERIMENT = Experiment(DATASET, "3d_fullres", variant="tiny")
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
NAMES = (
    *("MYSQL_PWD", "GITHUB_PAT", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_SAS"),
    "PGPASSWORD",
    *("DATA_URL", "KAGGLE_KEY", "SLURM_JWT", "WANDB_API_KEY", "COMET_API_KEY", "NEPTUNE_API_TOKEN", "OPENAI_API_KEY"),
    *(
        "THE_HOUSE",
        "LDAP_BIND",
        "SMTP_LOGIN",
        "VAULT_ADDR",
        "CI_JOB",
        "DSN",
        "nnUNet_secret",
        "http_proxy",
        "MY_COOKIE",
    ),
)
"""Some have a name that says what they are; most are on nobody's list."""


def canaries() -> dict[str, str]:
    values = {name: f"canary{secrets.token_hex(12)}" for name in NAMES}
    forms = {
        "DATA_URL": "https://host/data?access_token={}",
        "AZURE_STORAGE_SAS": "?sv=2024&sig={}",
        "http_proxy": "http://me:{}@127.0.0.1:9",
        "VAULT_ADDR": "https://{}@vault",
        "DSN": "postgresql://me:{}@db/x",
    }
    return {name: forms.get(name, "{}").format(value) for name, value in values.items()}


def secret_of(value: str) -> str:
    return str(re.findall(r"canary\w+", value)[0])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("foreign")
    tiny = variant("tiny", num_epochs=2, num_iterations_per_epoch=2)
    yield Planted(folder, phantom_project(folder / "project", [tiny]))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def secret() -> dict[str, str]:
    return canaries()


def fold_folder(planted: Planted, fold: str) -> Path:
    return EXPERIMENT.fold_folder(Settings.from_environment(planted.project, {}).roots, fold)


def places_of(secret: dict[str, str], folder: Path) -> list[str]:
    """Returns where a secret was written to; the planted modules, which are ours, left out."""
    wanted = {name: secret_of(value).encode() for name, value in secret.items()}
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".py":
            content = path.read_bytes()
            found += [f"{path}: {name}" for name, value in wanted.items() if value in content]
    return found


def test_a_fold_is_trained_from_the_command_line(
    planted: Planted, secret: dict[str, Any], said: Callable[..., None]
) -> None:
    project, store = ("--project", str(planted.project)), f"sqlite:///{planted.project}/data/mlflow.db"
    for arguments in (
        ("train", "900", "3d_fullres", "0", "--variant", "tiny", "-device", "cpu", *project),
        ("check", DATASET, *project),
        ("summarize", "--experiment", DATASET, "--tracking-uri", store),
        ("export", "--experiment", DATASET, "--tracking-uri", store, "--format", "csv"),
        ("doctor", *project),
    ):
        done = planted.run(*arguments, **secret)
        assert planted.ran == {}, arguments
        shown = done.stdout + done.stderr
        assert [name for name, value in secret.items() if secret_of(value) in shown] == []
        if arguments[0] == "train":
            assert done.returncode == 0, shown
    assert read_committed(fold_folder(planted, "fold_0"), check_files=True)
    assert places_of(secret, planted.project) == []
    said(modules=len(list(planted.here.iterdir())), canaries=len(secret))


def test_a_fold_is_trained_by_the_servers_of_up(
    planted: Planted, secret: dict[str, Any], said: Callable[..., None]
) -> None:
    port, mlflow_port = free_port(), free_port()
    arguments = ["--port", str(port), "--mlflow-port", str(mlflow_port)]
    up = planted.run("up", str(planted.project), *arguments, **secret)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        assert planted.ran == {}
        dagster = DagsterDev(f"http://127.0.0.1:{port}", planted.project / "run" / "webserver.log")
        dagster.backfill((*EXPERIMENT.key_prefix, "fold_model"), partitions=["fold_1"])
        environments: dict[str, str] = {}

        def is_trained() -> bool:
            environments.update(environments_of_children(str(planted.project)))
            return read_committed(fold_folder(planted, "fold_1")) is not None

        dagster.wait_for("the end of the fold", is_trained, 400)
        with urllib.request.urlopen(f"http://127.0.0.1:{mlflow_port}/health", timeout=30) as answer:
            assert answer.read() == b"OK"
        dagster.wait_for("the end of every run", lambda: {run["status"] for run in dagster.runs()} <= ENDED, 200)
    finally:
        planted.run("down", str(planted.project), **secret)
    assert planted.ran == {}
    assert "nnunet_assets.nnunet.training.fold_process" in environments
    for module, values in environments.items():
        assert [name for name, value in secret.items() if secret_of(value) in values] == [], module
    assert places_of(secret, planted.project) == []
    said(processes=sorted(environments), variables=json.dumps({m: len(v) for m, v in environments.items()}))


def test_dev_starts_and_loads_the_project(planted: Planted, secret: dict[str, Any]) -> None:
    port = free_port()
    log = planted.here.parent / "dev.log"
    with log.open("wb") as output:
        process = planted.start(
            "dev", str(planted.project), "--port", str(port), "--mlflow-port", str(free_port()), output=output, **secret
        )
    try:
        dagster = DagsterDev(f"http://127.0.0.1:{port}", log)
        deadline = time.monotonic() + 200
        while "Dagster  http" not in log.read_text() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.5)
        locations = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
        found = dagster.query(locations)["workspaceOrError"]["locationEntries"]
        assert [(location["name"], location["loadStatus"]) for location in found] == [("nnunet_assets", "LOADED")]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert planted.ran == {}
    assert places_of(secret, planted.project) == []


def environments_of_children(project: str) -> dict[str, str]:
    """Returns what the environment of each process that runs nnU-Net for the project holds, by its module."""
    found: dict[str, str] = {}
    for process in psutil.process_iter():
        try:
            command, environment = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        modules = [part for part in command if part.startswith("nnunet_assets.nnunet.")]
        if modules and any(project in part for part in command):
            found[modules[0]] = found.get(modules[0], "") + "\n".join(environment.values())
    return found
