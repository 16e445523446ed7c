"""A whole cross-validation in a cluster's jobs: a project that is up, its backfill, and what must hold at the end."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, Experiment, FoldPlace
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.engines.job_files import PARENT_VARIABLE, open_record
from nnunet_assets.errors import SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD
from nnunet_assets_tests.dagster_dev import free_port
from nnunet_assets_tests.phantom_builders import DATASET, phantom_project, variant
from nnunet_assets_tests.served_project import ServedProject

FOLDS = [f"fold_{index}" for index in range(5)]
N_EPOCHS = 5
VARIANT = "jobs"
EXPERIMENT = Experiment(DATASET, "3d_fullres", variant=VARIANT)


@contextmanager
def served_in_jobs(folder: Path, engine: str) -> Iterator[ServedProject]:
    """Yields a project whose five folds train in jobs, and which is up.

    Args:
        folder: A new one.
        engine: What its `engine.yaml` says.
    """
    made = phantom_project(folder, [variant(VARIANT, num_epochs=N_EPOCHS, num_iterations_per_epoch=2)])
    definitions = made / "experiments" / "example" / "defs.yaml"
    definitions.write_text(definitions.read_text().replace('"folds": 2', '"folds": 5'))
    (made / "engine.yaml").write_text(engine)
    project = ServedProject(made, free_port(), free_port())
    project.up()
    try:
        yield project
    finally:
        project.down()


@dataclass(frozen=True)
class BackfillTrial:
    """A backfill of the project that goes on.

    Attributes:
        project: Its project.
        process: `nnunet-assets backfill`.
        log: What that printed.
        began: When, on `time.monotonic`.
    """

    project: ServedProject
    process: "subprocess.Popen[bytes]"
    log: Path
    began: float

    @property
    def places(self) -> dict[str, FoldPlace]:
        roots = Settings.from_environment(self.project.folder, {}).roots
        return {fold: EXPERIMENT.place_of(roots, fold) for fold in FOLDS}

    @property
    def seconds(self) -> float:
        """How long it goes on by now."""
        return time.monotonic() - self.began

    def wait_for(self, what: Callable[[], Any], seconds: float) -> Any:
        until = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.5)
        return found

    def epochs(self, fold: str) -> list[int | None]:
        records = read_records(journal_path(self.places[fold].folder))
        return [record.epoch for record in records if record.kind == "epoch"]

    def one_in_training(self) -> str:
        """Waits until a fold has an epoch, and returns it."""
        found: str = self.wait_for(lambda: next((one for one in FOLDS if self.epochs(one)), None), 400)
        return found

    def kill_worker(self, fold: str) -> None:
        """Kills the process that supervises a fold's job: Dagster's run worker."""
        owner = read_json(self.places[fold].lock.with_suffix(".owner.json"))
        assert owner
        worker = psutil.Process(owner["process"])
        # Started by the code server, whose child it is.
        assert "grpc" in worker.parent().cmdline()
        worker.kill()
        psutil.wait_procs([worker], 10)

    def wait_until_done(self) -> None:
        assert self.process.wait(1200) == 0, self.log.read_text()

    def check_finished(self) -> tuple[Counter[str], int]:
        """Checks that each epoch was trained and tracked once; returns the folds of each node, and the jobs of all."""
        client = connect(Destination.of(Settings.from_environment(self.project.folder)))
        experiment = client.get_experiment_by_name(DATASET)
        nodes: Counter[str] = Counter()
        n_jobs = 0
        for fold, place in self.places.items():
            manifest = read_committed(place.folder, check_files=True)
            assert manifest
            node = manifest.details["job"]["node"]
            nodes[node] += 1
            n_jobs += len(list((place.own / "jobs").iterdir()))
            assert self.epochs(fold) == list(range(N_EPOCHS))
            assert open_record(place.folder) is None
            (run,) = client.search_runs([experiment.experiment_id], f"tags.`{FOLD}` = '{fold}'")
            assert run.info.status == "FINISHED"
            assert run.data.tags["nnunet_assets.host"] == node
            points = client.get_metric_history(run.info.run_id, "train_loss")
            assert sorted(point.step for point in points) == list(range(N_EPOCHS))
        assert left_of_jobs(self.project.folder) == []
        self.wait_for(self._has_whole_summary, 200)
        return nodes, n_jobs

    def _has_whole_summary(self) -> bool:
        with suppress(SummaryError):
            roots = Settings.from_environment(self.project.folder, {}).roots
            return read_summary(EXPERIMENT.summary_folder(roots) / CV_SUMMARY_FILE).is_complete
        return False


@contextmanager
def backfill_of(project: ServedProject, log: Path) -> Iterator[BackfillTrial]:
    """Yields a backfill of all folds; it is ended where the trial fails."""
    command = [sys.executable, "-c", "from nnunet_assets.cli.main import main; main()", "backfill"]
    began = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=project.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield BackfillTrial(project, process, log, began)
    finally:
        process.kill()
        process.wait()


def left_of_jobs(project: Path) -> list[psutil.Process]:
    """Returns the processes of jobs of a project, and of Ray's drivers."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command, variables = process.cmdline(), process.environ()
            is_of_job = {"SLURM_JOB_ID", PARENT_VARIABLE} & set(variables) or any(
                "ray_cluster" in one for one in command
            )
            if is_of_job and any(str(project) in text for text in [*command, variables.get("nnUNet_results", "")]):
                found.append(process)
    return found
