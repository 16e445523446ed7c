"""A whole cross-validation in jobs: five folds that a backfill trains on two nodes of a real Slurm, by a real daemon.

    pytest -m faults nnunet_assets_tests/faults/test_slurm_backfill.py

The login node has no GPU; the nodes count two each, so that four folds train at once and the fifth waits for one of
them. One run worker is killed meanwhile. Skipped where Slurm is not installed.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, Experiment, FoldPlace
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.engines.job_files import open_record
from nnunet_assets.errors import SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD
from nnunet_assets_tests.dagster_dev import free_port
from nnunet_assets_tests.engines.real_slurm import RealSlurm, lack, real_slurm
from nnunet_assets_tests.phantom_builders import DATASET, phantom_project, variant
from nnunet_assets_tests.served_project import ServedProject
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS, pytest.mark.timeout(1800)]

FOLDS = [f"fold_{index}" for index in range(5)]
N_EPOCHS = 5
EXPERIMENT = Experiment(DATASET, "3d_fullres", variant="jobs")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealSlurm]:
    if reason := lack():
        pytest.skip(reason)
    with real_slurm() as found:
        for name, value in found.variables.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def served(slurm: RealSlurm, tmp_path: Path) -> Iterator[ServedProject]:
    """A project whose folds train in jobs, and which is up."""
    folder = phantom_project(tmp_path / "project", [variant("jobs", num_epochs=N_EPOCHS, num_iterations_per_epoch=2)])
    definitions = folder / "experiments" / "example" / "defs.yaml"
    definitions.write_text(definitions.read_text().replace('"folds": 2', '"folds": 5'))
    (folder / "engine.yaml").write_text("kind: slurm\ngpus: 1\ncpus: 4\nmemory_gb: 2\ntime_limit_minutes: 30\n")
    project = ServedProject(folder, free_port(), free_port())
    project.up()
    try:
        yield project
    finally:
        project.down()


def places(project: Path) -> dict[str, FoldPlace]:
    roots = Settings.from_environment(project, {}).roots
    return {fold: EXPERIMENT.place_of(roots, fold) for fold in FOLDS}


def wait_for(what: Callable[[], Any], seconds: float, log: Path) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.5)
    return found


def epochs(place: FoldPlace) -> list[int | None]:
    return [record.epoch for record in read_records(journal_path(place.folder)) if record.kind == "epoch"]


def kill_worker(place: FoldPlace) -> None:
    """Kills the process that supervises a fold's job: Dagster's run worker."""
    owner = read_json(place.lock.with_suffix(".owner.json"))
    assert owner
    worker = psutil.Process(owner["process"])
    # Started by the code server, whose child it is.
    assert "grpc" in worker.parent().cmdline()
    worker.kill()
    psutil.wait_procs([worker], 10)


def has_whole_summary(project: Path) -> bool:
    with suppress(SummaryError):
        roots = Settings.from_environment(project, {}).roots
        return read_summary(EXPERIMENT.summary_folder(roots) / CV_SUMMARY_FILE).is_complete
    return False


def left(project: Path) -> list[psutil.Process]:
    """Returns the processes of jobs of this project."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            own = [*process.cmdline(), process.environ().get("nnUNet_results", "")]
            if "SLURM_JOB_ID" in process.environ() and any(str(project) in text for text in own):
                found.append(process)
    return found


def test_five_folds_on_two_nodes_by_a_backfill(
    served: ServedProject, slurm: RealSlurm, tmp_path: Path, said: Callable[..., None]
) -> None:
    project, log = served.folder, tmp_path / "backfill.log"
    began = time.monotonic()
    with log.open("w") as output:
        command = [sys.executable, "-c", "from nnunet_assets.cli.main import main; main()", "backfill"]
        backfill = subprocess.Popen(command, cwd=project, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_for(lambda: len(slurm.jobs("RUNNING")) == 4 and len(slurm.jobs("PENDING")) == 1, 600, log)
        every = time.monotonic() - began
        killed = wait_for(lambda: next((one for one in FOLDS if epochs(places(project)[one])), None), 400, log)

        # What another one asks for meanwhile is refused in words, and nothing is moved.
        again = served.command("backfill", "--retrain", "--project", str(project))
        assert again.returncode == 1
        assert "at work already, and nothing was begun" in again.stderr
        kill_worker(places(project)[killed])
        train = [DATASET, "3d_fullres", killed.removeprefix("fold_"), "--project", str(project), "--variant", "jobs"]
        beside = served.command("train", *train, "--retrain")
        assert beside.returncode == 1
        assert "by another process" in beside.stderr or "is to be trained anew. Nothing is moved" in beside.stderr

        assert backfill.wait(1200) == 0, log.read_text()
    finally:
        backfill.kill()
        backfill.wait()
    seconds = time.monotonic() - began
    slurm.wait_until_idle()

    client = connect(Destination.of(Settings.from_environment(project)))
    experiment = client.get_experiment_by_name(DATASET)
    nodes: Counter[str] = Counter()
    n_jobs = 0
    for fold, place in places(project).items():
        manifest = read_committed(place.folder, check_files=True)
        assert manifest
        node = manifest.details["job"]["node"]
        nodes[node] += 1
        n_jobs += len(list((place.own / "jobs").iterdir()))
        assert epochs(place) == list(range(N_EPOCHS))
        assert open_record(place.folder) is None
        (run,) = client.search_runs([experiment.experiment_id], f"tags.`{FOLD}` = '{fold}'")
        assert run.info.status == "FINISHED"
        assert run.data.tags["nnunet_assets.host"] == node
        points = client.get_metric_history(run.info.run_id, "train_loss")
        assert sorted(point.step for point in points) == list(range(N_EPOCHS))
    assert set(nodes) == {"n1", "n2"}
    assert n_jobs == len(FOLDS)
    assert left(project) == []
    wait_for(lambda: has_whole_summary(project), 200, log)
    said(
        four_jobs_and_one_that_waits_after=f"{every:.0f} s",
        whole=f"{seconds:.0f} s",
        jobs=n_jobs,
        nodes=dict(nodes),
    )
