"""Real searches: eight tiny trials on a Ray of their own, whole, and with driver, trial and fold killed on the way."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.search.trial_files import SearchRecord, read_record, search_folder
from nnunet_assets.declarations.project import read_project
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.runs.cross_validation_run import PARENT
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.search.book import trial_folder
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500), *MLFLOW_WARNINGS]
pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset953_Phantom, folds: 2, phantom: {cases: 6}}
---
type: nnunet_assets.components.Search
attributes:
  name: lr
  of: {dataset: Dataset953_Phantom, configuration: 3d_fullres, device: cpu, trainer: nnUNetTrainerTunable}
  space:
    initial_lr: {log: [1.0e-4, 1.0e-1]}
    optimizer_name: {choice: [SGD, AdamW]}
    num_iterations_per_epoch: 1
    num_val_iterations_per_epoch: 1
    save_every: 1
  budget: {trials: 8, at_once: 2, max_epochs: 4, min_epochs: 1, reduction: 2.0}
"""
DATASET = "Dataset953_Phantom"
DRIVER = "nnunet_assets.workflows.search.tune_driver"
FOLD = "nnunet_assets.nnunet.training.fold_process"
MARK = "NNUNET_ASSETS_SEARCH_TRIAL"
N_KILLS = 10
COMMAND = [sys.executable, "-c", "from nnunet_assets.cli import run; run()", "search"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "p", {"a/defs.yaml": DECLARED})


@pytest.fixture
def start(project: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        command = [*COMMAND, "run", "lr", "--project", str(project)]
        variables = {**os.environ, "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1", MARK: str(project)}
        with (project / "run.log").open("ab") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=variables))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(120)


def record_of(project: Path) -> SearchRecord | None:
    return read_record(search_folder(Settings.from_environment(project, {}).roots, DATASET, "lr"))


def epochs_of(project: Path) -> dict[int, list[int]]:
    """Returns the epochs in the journal of each trial."""
    settings, config = Settings.from_environment(project, {}), read_project(project).searches[0]
    record = record_of(project)
    return {
        trial.number: [
            one.epoch
            for one in read_records(journal_path(trial_folder(config, settings.roots, trial)))
            if one.epoch is not None
        ]
        for trial in (record.trials if record else ())
    }


def n_epochs(project: Path) -> int:
    return sum(map(len, epochs_of(project).values()))


def processes(project: Path, module: str | None = None) -> list[psutil.Process]:
    """Returns the processes of a run that run a module, or all; a trial's fold is started by a process of Ray's."""
    found = []
    for one in psutil.process_iter(["cmdline", "status"]):
        try:
            is_one = module is None or module in (one.info["cmdline"] or [])
            if is_one and one.info["status"] != psutil.STATUS_ZOMBIE and one.environ().get(MARK) == str(project):
                found.append(one)
        except psutil.Error:
            continue
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.3)
    raise AssertionError("it did not come")


def check_whole(project: Path) -> Counter[str]:
    """Checks what holds of a search that came to its end, whatever happened on the way; returns how trials ended."""
    settings, record = Settings.from_environment(project, {}), record_of(project)
    assert record
    assert [one.number for one in record.trials] == list(range(8))
    states: Counter[str] = Counter(one.state for one in record.trials)
    assert set(states) <= {"finished", "stopped"}
    assert states["finished"] >= 1
    for number, epochs in epochs_of(project).items():
        trial = record.trials[number]
        assert epochs == list(range(len(epochs))), "each epoch is in the journal once"
        assert len(epochs) == 4 if trial.state == "finished" else len(epochs) >= trial.n_epochs
    client = connect(Destination.of(settings))
    experiment = client.get_experiment_by_name(DATASET)
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    folds = [run for run in runs if run.data.tags["nnunet_assets.run_type"] == "fold"]
    (tuning,) = [run for run in runs if run.data.tags["nnunet_assets.run_type"] == "tuning"]
    assert {run.data.tags[PARENT] for run in folds} == {tuning.info.run_id}
    assert len(folds) == 8
    for run in folds:
        history = client.get_metric_history(run.info.run_id, "pseudo_dice_ema")
        steps = [point.step for point in history]
        assert len(steps) == len(set(steps)), "each epoch is in MLflow once"
    assert (search_folder(settings.roots, DATASET, "lr") / "search.html").is_file()
    return states


def _goes_on(process: "subprocess.Popen[bytes]", project: Path, n_before: int) -> bool:
    return process.poll() is not None or n_epochs(project) > n_before


def _is_driven_or_ended(process: "subprocess.Popen[bytes]", project: Path) -> bool:
    return process.poll() is not None or bool(processes(project, DRIVER))


def nothing_left(project: Path) -> None:
    wait_for(lambda: not processes(project), 60)


def test_a_search_of_eight_trials_goes_from_its_beginning_to_an_experiment(
    project: Path, start: Callable[[], "subprocess.Popen[bytes]"], said: Callable[..., None]
) -> None:
    begun = time.monotonic()
    assert start().wait(1200) == 0, (project / "run.log").read_text()
    states = check_whole(project)
    command = [*COMMAND, "adopt", "lr", "--project", str(project)]
    subprocess.run(command, check=True)
    (experiment,) = read_project(project).experiments
    assert experiment.variant.name.startswith("lr_")
    said(**states, seconds=round(time.monotonic() - begun))


def test_killed_again_and_again_it_ends_with_the_same_trials(
    project: Path, start: Callable[[], "subprocess.Popen[bytes]"], said: Callable[..., None]
) -> None:
    """A driver, a trial's fold, a trial's own process, and the whole run, each at a moment of its own."""
    draw = random.Random(int.from_bytes(os.urandom(4)))
    points: dict[int, Any] = {}
    killed = []
    process = start()
    for what in ("driver", "fold", "supervisor", "run", "driver"):
        wait_for(partial(_goes_on, process, project, n_epochs(project)))
        time.sleep(draw.uniform(0, 3))
        if process.poll() is not None:
            break
        folds = processes(project, FOLD)
        targets = {
            "driver": processes(project, DRIVER),
            "fold": folds,
            "supervisor": [one.parent() for one in folds],
            "run": [psutil.Process(process.pid)],
        }[what]
        for target in targets[:1]:
            target.send_signal(signal.SIGKILL)
            killed.append(what)
        record = record_of(project)
        for trial in record.trials if record else ():
            assert points.setdefault(trial.number, trial.point) == trial.point
        if what == "run":
            process.wait(60)
            process = start()
    assert process.wait(1200) in (0, 2), (project / "run.log").read_text()
    process = start()
    assert process.wait(600) == 0
    states = check_whole(project)
    record = record_of(project)
    assert all(record.trials[number].point == point for number, point in points.items())
    nothing_left(project)
    said(killed=json.dumps(killed), **states)


def test_with_its_driver_killed_at_ten_random_moments_it_ends_with_the_same_trials(
    project: Path, start: Callable[[], "subprocess.Popen[bytes]"], said: Callable[..., None]
) -> None:
    """Each second time at a moment that waits for nothing, as while Ray starts; else some time after another epoch."""
    draw = random.Random(seed := int.from_bytes(os.urandom(4)))
    points: dict[int, Any] = {}
    kills: list[int] = []
    process = start()
    while len(kills) < N_KILLS:
        wait_for(partial(_is_driven_or_ended, process, project))
        if process.poll() == 0:
            break
        if process.poll() is not None:
            # Of two kills without an epoch between them the second ends the run, and the next one goes on.
            assert process.returncode in (1, 2), (project / "run.log").read_text()
            process = start()
            continue
        if len(kills) % 2:
            wait_for(partial(_goes_on, process, project, n_epochs(project)))
        time.sleep(draw.uniform(0, 10 if len(kills) % 2 else 25))
        for one in processes(project, DRIVER)[:1]:
            one.send_signal(signal.SIGKILL)
            kills.append(n_epochs(project))
            one.wait(30)
        record = record_of(project)
        for trial in record.trials if record else ():
            assert points.setdefault(trial.number, trial.point) == trial.point
    if process.wait(1200) != 0:
        assert start().wait(1200) == 0, (project / "run.log").read_text()
    assert len(kills) > N_KILLS // 2
    states = check_whole(project)
    record = record_of(project)
    assert record
    assert all(record.trials[number].point == point for number, point in points.items())
    nothing_left(project)
    said(seed=seed, epochs_at_kills=json.dumps(kills), **states)


def test_asked_to_end_it_ends_its_trials_in_order_and_leaves_nothing(
    project: Path, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    process = start()
    wait_for(lambda: n_epochs(project) > 0)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    nothing_left(project)
    record = record_of(project)
    assert record
    assert "begun" in {one.state for one in record.trials}
