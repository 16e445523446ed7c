"""A trial: a real tiny fold that something happens to, and the check that holds after every one of them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD, RESUMED_AT
from nnunet_assets_tests.faults.one_fold import OVERRIDES
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.training_builders import DATASET

FOLD_OF_TRIALS, SIBLING = "fold_0", "fold_1"
TRIAL_VARIABLE = "NNUNET_ASSETS_TRIAL"
"""Every process of a trial inherits it: so are the survivors found, whoever their parent is by now."""

UNFINISHED = re.compile(r"\..+\.(part|[0-9a-f]{32})")
"""Names of files that are being written, by `bindings` and by `atomic_files.write_atomically`."""

KILLED = 128 + signal.SIGKILL
"""What `one_fold` ends with when the fold's process was killed."""

RUN_SECONDS = 240


@dataclass
class Trial:
    """One fold in a results folder and a tracking store of its own; data and plans are shared with other trials.

    Attributes:
        folder: Of this trial.
        data: Raw and preprocessed data.
        trainer: nnU-Net's class.
        variables: Of the environment, over this process's own.
        mark: What `TRIAL_VARIABLE` is set to.
        survivors: Processes that outlived the newest run of the fold.
    """

    folder: Path
    data: Roots
    trainer: str = "nnUNetTrainer"
    variables: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    survivors: list[int] = field(default_factory=list)

    @property
    def roots(self) -> Roots:
        return Roots(self.data.raw, self.data.preprocessed, self.folder / "results")

    @property
    def tracking_uri(self) -> str:
        return self.variables.get("MLFLOW_TRACKING_URI", f"sqlite:///{self.folder}/data/mlflow.db")

    @property
    def log(self) -> Path:
        return self.folder / "one_fold.log"

    def fold_folder(self, fold: str = FOLD_OF_TRIALS) -> Path:
        experiment = Experiment(DATASET, "3d_fullres", trainer=self.trainer, variant="faults")
        return experiment.fold_folder(self.roots, fold)

    @property
    def environment(self) -> Mapping[str, str]:
        own = {"NNUNET_ASSETS_PROJECT": str(self.folder), TRIAL_VARIABLE: self.mark}
        return {**os.environ, **self.roots.environment(), **own, **self.variables}

    def start(self, fold: str = FOLD_OF_TRIALS) -> "subprocess.Popen[bytes]":
        """Starts or resumes the fold."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "nnunet_assets_tests.faults.one_fold", fold, self.trainer],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, fold: str = FOLD_OF_TRIALS) -> int:
        """Runs the fold to an end and returns the exit code."""
        return self.wait(self.start(fold))

    def wait(self, process: "subprocess.Popen[bytes]") -> int:
        try:
            return process.wait(RUN_SECONDS)
        finally:
            self.end_processes()

    def end_processes(self) -> None:
        """Ends what a test that failed left behind; the check looks before that."""
        self.survivors = living(process.pid for process in self.processes())
        for process in self.processes():
            process.kill()

    def processes(self) -> list[psutil.Process]:
        """Returns every living process of the trial."""
        return [process for process in psutil.process_iter() if _mark_of(process) == self.mark]

    def trainers(self) -> list[psutil.Process]:
        """Returns the fold's process, without its workers, if it runs."""
        return [process for process in self.processes() if _is_trainer(process)]

    def wait_for(self, what: Callable[[], Any], seconds: float = 120) -> Any:
        """Waits for something to become true, and for no longer than the fold runs."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, self.output
            time.sleep(0.005)
        return found

    @property
    def output(self) -> str:
        """What the fold's processes printed."""
        logs = [self.log, self.fold_folder() / OWN_FOLDER / "output.log"]
        return "\n".join(log.read_text(errors="replace") for log in logs if log.exists())

    @property
    def epochs(self) -> list[Record]:
        return self.epochs_of(FOLD_OF_TRIALS)

    def epochs_of(self, fold: str) -> list[Record]:
        return [record for record in read_records(journal_path(self.fold_folder(fold))) if record.kind == "epoch"]

    @cached_property
    def sibling_before(self) -> Mapping[str, tuple[str, int]]:
        """The other fold as it was when this was first asked for."""
        return stamps_of(self.fold_folder(SIBLING))


def stamps_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Returns checksum and time of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (file_sha256(path), path.stat().st_mtime_ns) for path in files}


def new_trial(folder: Path, data: Roots, sibling: Path, store: Path, **changes: Any) -> Trial:
    """Returns a trial whose second fold is a finished one, and whose tracking store is there and empty."""
    trial = Trial(folder, data, **changes)
    (folder / "data").mkdir(parents=True)
    shutil.copy2(store, folder / "data" / "mlflow.db")
    shutil.copytree(sibling, trial.fold_folder(SIBLING))
    assert trial.sibling_before
    return trial


def kill_group(trainer: psutil.Process) -> bool:
    """Kills the fold's process and its workers; tells whether it still ran."""
    try:
        os.killpg(trainer.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def saved_epochs(fold_folder: Path) -> int:
    """Returns how many epochs the furthest whole checkpoint has; 0: there is none."""
    import torch

    whole = filter(_is_whole, fold_folder.rglob("*.pth"))
    return max((torch.load(path, map_location="cpu", weights_only=False)["current_epoch"] for path in whole), default=0)


def resume_and_check(trial: Trial, *, may_repeat: bool = False) -> dict[str, Any]:
    """Runs a fold that was disturbed to its end; the check after every trial, and that no saved epoch was lost.

    Args:
        trial: What was disturbed.
        may_repeat: Whether MLflow may have an epoch twice: where a checkpoint was lost that held it.
    """
    before, n_saved = trial.epochs, saved_epochs(trial.fold_folder())
    assert trial.run() == 0, trial.output
    figures = check_finished(trial)
    kept = [old for old, new in zip(before, trial.epochs, strict=False) if old == new]
    assert len(kept) >= n_saved
    assert may_repeat or figures["epochs sent twice"] == 0
    return {"epochs by then": len(before), "saved": n_saved, "trained again": len(before) - len(kept), **figures}


def check_finished(trial: Trial, *, tracking_uri: str | None = None) -> dict[str, Any]:
    """The check after every trial; returns figures for the report.

    Args:
        trial: Its fold was run to the end.
        tracking_uri: Where the fold is tracked; None: where the trial says.
    """
    folder = trial.fold_folder()
    manifest = read_committed(folder, check_files=True)
    assert manifest is not None, trial.output
    assert manifest.n_epochs == OVERRIDES["num_epochs"]
    assert [record.epoch for record in trial.epochs] == list(range(manifest.n_epochs))
    n_twice = check_tracking(trial, FOLD_OF_TRIALS, tracking_uri or trial.tracking_uri)
    assert trial.survivors == []
    assert [path for path in trial.roots.results.rglob(".*") if UNFINISHED.fullmatch(path.name)] == []
    assert all(_is_whole(checkpoint) for checkpoint in folder.rglob("*.pth"))
    assert stamps_of(trial.fold_folder(SIBLING)) == trial.sibling_before
    return {"epochs sent twice": n_twice}


def check_tracking(trial: Trial, fold: str, uri: str) -> int:
    """Checks a fold's run against its journal; returns how many epochs MLflow has twice, since they were trained twice.

    MLflow cannot take a value back: what a kill made the fold train again is sent again, the later time stamp counts,
    and the run's tag names the epoch.
    """
    # MLflow keeps a store open by its URI for as long as this process lives, and another trial may have its path.
    look = trial.folder / f"look_{uuid.uuid4().hex}"
    look.symlink_to("data")
    client = connect(
        Destination(uri.replace(f"{trial.folder}/data/", f"{look}/"), trial.folder / "data" / "mlartifacts")
    )
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`{FOLD}` = '{fold}'")
    assert run.info.status == "FINISHED"
    epochs = trial.epochs_of(fold)
    resumed_at = [int(epoch) for epoch in run.data.tags.get(RESUMED_AT, "").split(",") if epoch.strip()]
    twice = set()
    for series in {name for record in epochs for name in record.values}:
        points = client.get_metric_history(run.info.run_id, series)
        newest = {point.step: point.value for point in sorted(points, key=lambda point: point.timestamp)}
        journal = {record.epoch: record.values.get(series) for record in epochs}
        # MLflow's server keeps all digits of a value but the last one or two.
        wanted = {epoch: value for epoch, value in journal.items() if value is not None}
        assert newest == pytest.approx(wanted, rel=1e-12, abs=0), series
        steps = [point.step for point in points]
        twice |= {step for step in steps if steps.count(step) > 1}
    assert all(step >= min(resumed_at, default=step + 1) for step in twice), (twice, resumed_at)
    return len(twice)


def _is_whole(checkpoint: Path) -> bool:
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, NotImplementedError):
        return False


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(TRIAL_VARIABLE)
    except psutil.Error:
        return None


def _is_trainer(process: psutil.Process) -> bool:
    try:
        # A worker that was forked has its parent's command line, but not its session's first place.
        return (
            "nnunet_assets.nnunet.training.fold_process" in process.cmdline() and os.getpgid(process.pid) == process.pid
        )
    except (psutil.Error, ProcessLookupError):
        return False
