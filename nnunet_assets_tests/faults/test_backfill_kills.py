"""A run worker that is killed while a backfill trains its fold, whoever began the backfill: the fold is finished."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.settings import Settings
from nnunet_assets_tests.dagster_dev import DagsterDev, dagster_dev
from nnunet_assets_tests.phantom_builders import DATASET, phantom_project, variant
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.faults]

N_EPOCHS = 15
WAYS = ("command", "assets", "job", "dagster")
JOB_BACKFILL = {
    "repositorySelector": {"repositoryLocationName": "nnunet_assets", "repositoryName": "__repository__"},
}
LAUNCH = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


def experiment(way: str) -> Experiment:
    return Experiment(DATASET, "3d_fullres", variant=way)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    short = {"num_epochs": N_EPOCHS, "num_iterations_per_epoch": 2}
    experiments = [{**variant(way, **short), "folds": [0]} for way in WAYS]
    return phantom_project(tmp_path_factory.mktemp("backfills") / "project", experiments)


@pytest.fixture(scope="module")
def dev(project: Path) -> Iterator[DagsterDev]:
    with dagster_dev(project) as dev:
        yield dev


@pytest.fixture
def terminals() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts commands that write into a file, and ends those that a test left."""
    started: list[subprocess.Popen[str]] = []

    def start(command: Sequence[str], folder: Path, log: Path, **more: Any) -> "subprocess.Popen[str]":
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                **more,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def nnunet_assets(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from nnunet_assets.cli.main import main; main()", *arguments]


@pytest.mark.parametrize("way", WAYS)
def test_the_fold_of_a_killed_run_worker_is_finished(
    project: Path, dev: DagsterDev, terminals: Callable[..., Any], tmp_path: Path, way: str
) -> None:
    folder = experiment(way).fold_folder(Settings.from_environment(project, {}).roots, "fold_0")
    job = f"train__{'__'.join(experiment(way).key_prefix)}"
    followed = None
    match way:
        case "command":
            followed = terminals(nnunet_assets("backfill", way), project, tmp_path / "backfill.log")
        case "assets":
            dev.backfill((*experiment(way).key_prefix, "fold_model"), partitions=["fold_0"])
        case "job":
            selector = {**JOB_BACKFILL, "partitionSetName": f"{job}_partition_set"}
            params = {"selector": selector, "partitionNames": ["fold_0"]}
            begun = dev.query(LAUNCH, p=params)["launchPartitionBackfill"]
            assert begun["__typename"] == "LaunchBackfillSuccess", begun
        case "dagster":
            command = [sys.executable, "-m", "dagster", "job", "backfill", "-w", "workspace.yaml", "-j", job]
            environment = {**psutil.Process().environ(), "DAGSTER_HOME": str(project / ".dagster")}
            arguments = ["--partitions", "fold_0", "--noprompt"]
            done = terminals([*command, *arguments], project, tmp_path / "dagster.log", env=environment)
            assert done.wait(120) == 0, (tmp_path / "dagster.log").read_text()

    dev.wait_for("a fold that trains", lambda: len(_epochs(folder)) > 2, 400)
    n_epochs = len(_epochs(folder))
    kill_run_worker(folder)
    killed = time.monotonic()
    dev.wait_for("a second run that trains", lambda: len(_epochs(folder)) > n_epochs + 1, 300)
    print(f"{way}: trained on {time.monotonic() - killed:.0f} s after the kill.")
    dev.wait_for("its end", lambda: read_committed(folder), 400)

    assert _epochs(folder) == list(range(N_EPOCHS))
    runs = dev.wait_for("the end of its run", lambda: _ended(dev, way), 90)
    assert [run["status"] for run in runs] == ["SUCCESS", "FAILURE"]
    if followed:
        assert followed.wait(60) == 0
        said = (tmp_path / "backfill.log").read_text()
        assert "fold_0: trains, once more after its run was killed, epoch " in said
        assert said.splitlines()[-1].startswith("fold_0: finished, Dice ")


def _ended(dev: DagsterDev, way: str) -> Any:
    """Returns the runs of the fold, newest first, when none is at work any more."""
    title = "/".join((*experiment(way).key_prefix, "fold_model"))
    query = """query($f: RunsFilter) { runsOrError(filter: $f) { ... on Runs { results { status
        assetSelection { path } pipelineName tags { key value } } } } }"""
    tags = [{"key": "dagster/partition", "value": "fold_0"}]
    found = dev.query(query, f={"tags": tags})["runsOrError"]["results"]
    own = [
        run
        for run in found
        if title in ["/".join(key["path"]) for key in run["assetSelection"] or []]
        or run["pipelineName"].startswith(f"train__{DATASET}__{way}__")
    ]
    return own if own and {run["status"] for run in own} <= {"SUCCESS", "FAILURE", "CANCELED"} else None


def _epochs(folder: Path) -> list[Any]:
    return [record.epoch for record in read_records(journal_path(folder)) if record.kind == "epoch"]


def kill_run_worker(folder: Path) -> None:
    started = [
        p for p in psutil.process_iter(["cmdline"]) if str(folder / ".nnunet_assets") in (p.info["cmdline"] or [])
    ]
    trainer = min(started, key=lambda process: process.create_time())
    trainer.parent().kill()
    assert psutil.wait_procs([trainer], 10)[1] == []
