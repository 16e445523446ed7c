"""What surrounds a training and changes under it: the clock, the number of workers, patches without a label."""

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD
from nnunet_assets_tests.faults.conftest import Prepared
from nnunet_assets_tests.faults.trials import FOLD_OF_TRIALS, Trial, check_finished, kill_group, resume_and_check
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

TRAINER = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerBlind(nnUNetTrainer):
    UNDEFINED = {undefined}

    def validation_step(self, batch):
        seen = super().validation_step(batch)
        if self.current_epoch in self.UNDEFINED:
            seen.update({{key: 0 * seen[key] for key in ("tp_hard", "fp_hard", "fn_hard")}})
        return seen
"""


def trial_of_blind(make_trial: Callable[..., Trial], folder: Path, undefined: set[int]) -> Trial:
    (folder / "trainers").mkdir()
    (folder / "trainers" / "blind.py").write_text(TRAINER.format(undefined=undefined or "set()"))
    # One process draws every patch, so that nothing but the undefined epochs differs.
    variables = {"nnUNet_extTrainer": str(folder / "trainers")}
    return make_trial(trainer="nnUNetTrainerBlind", variables=variables)


def best_epochs_of(pseudo_dice: list[float | None]) -> int:
    """Returns the epoch whose moving average over the defined ones is the greatest."""
    average, best = None, (-math.inf, -1)
    for epoch, value in enumerate(pseudo_dice):
        if value is None:
            continue
        average = value if average is None else 0.9 * average + 0.1 * value
        best = max(best, (average, -epoch)) if average > best[0] else best
    return -best[1]


@pytest.mark.parametrize("undefined", [{1}, {0}, {0, 1}, {2, 4}, {5}, set(range(6))])
def test_epochs_without_a_pseudo_dice_leave_the_best_to_the_others(
    make_trial: Callable[..., Trial], tmp_path: Path, said: Callable[..., None], undefined: set[int]
) -> None:
    import torch

    trial = trial_of_blind(make_trial, tmp_path, undefined)
    assert trial.run() == 0, trial.log.read_text()
    figures = check_finished(trial)
    means = [record.values["pseudo_dice_mean"] for record in trial.epochs]
    emas = [record.values["pseudo_dice_ema"] for record in trial.epochs]
    for series in (means, emas):
        assert [epoch for epoch, value in enumerate(series) if value is None] == sorted(undefined)
    best = torch.load(trial.fold_folder() / "checkpoint_best.pth", map_location="cpu", weights_only=False)
    wanted = best_epochs_of(means) if undefined != set(range(6)) else 5
    assert best["current_epoch"] == wanted + 1
    said(undefined=sorted(undefined), best_epoch=wanted + 1, **figures)


def test_plain_nnunet_reads_the_result_and_a_kill_between_changes_nothing(
    make_trial: Callable[..., Trial], tmp_path: Path, said: Callable[..., None]
) -> None:
    import torch

    trial = trial_of_blind(make_trial, tmp_path, {0, 3})
    process = trial.start()
    trial.wait_for(lambda: len(trial.epochs) >= 4)
    kill_group(trial.trainers()[0])
    trial.wait(process)
    said(**resume_and_check(trial))
    means = [record.values["pseudo_dice_mean"] for record in trial.epochs]
    logged = torch.load(trial.fold_folder() / "checkpoint_final.pth", map_location="cpu", weights_only=False)["logging"]
    assert [math.isnan(value) for value in logged["ema_fg_dice"]] == [value is None for value in means]
    read = (
        "from nnunetv2.training.logging.nnunet_logger import MetaLogger; import sys, torch;"
        "logger = MetaLogger(sys.argv[2], resume=False);"
        "logger.load_checkpoint(torch.load(sys.argv[1], weights_only=False)['logging']);"
        "logger.plot_progress_png(sys.argv[2])"
    )
    final = str(trial.fold_folder() / "checkpoint_final.pth")
    subprocess.run([sys.executable, "-c", read, final, str(tmp_path)], check=True, env=trial.environment)
    assert (tmp_path / "progress.png").exists()


# --- workers ------------------------------------------------------------------------------------------------------


def test_without_augmentation_workers_a_fold_trains_by_itself(
    make_trial: Callable[..., Trial], said: Callable[..., None]
) -> None:
    trial = make_trial(variables={"nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1"})
    process = trial.start()
    n_processes = 0
    while process.poll() is None:
        (trainer,) = trial.trainers() or [None]
        n_processes = max(n_processes, len(trainer.children()) if trainer else 0)
    assert trial.wait(process) == 0, trial.log.read_text()
    said(workers=n_processes, **check_finished(trial))


@pytest.mark.parametrize(
    ("name", "value"),
    [("nnUNet_n_proc_DA", "-1"), ("nnUNet_n_proc_DA", "abc"), ("nnUNet_def_n_proc", "0"), ("nnUNet_def_n_proc", "-2")],
)
def test_a_number_of_workers_that_is_none_is_named_before_any_work(
    make_trial: Callable[..., Trial], name: str, value: str
) -> None:
    trial = make_trial(variables={name: value})
    assert trial.run() != 0
    assert f"{name} is {value!r}, not a whole number of at least" in trial.log.read_text()
    assert not journal_path(trial.fold_folder()).exists()


# --- the clock ----------------------------------------------------------------------------------------------------

HOUR = 3600


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that sets the wall clock for the programs that load it."""
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no C compiler")
    return library


@pytest.mark.parametrize("jumps", [[-HOUR], [HOUR], [-HOUR, HOUR, -2 * HOUR, 24 * HOUR, 0]], ids=str)
def test_a_clock_that_is_set_while_a_fold_trains_changes_no_duration_and_no_order(
    make_trial: Callable[..., Trial], shim: Path, tmp_path: Path, said: Callable[..., None], jumps: list[int]
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    trial = make_trial(variables={"LD_PRELOAD": str(shim), "CLOCK_FILE": str(clock)})
    set_on = "import sys, time; a = time.time(); open(sys.argv[1], 'w').write('7200'); print(time.time() - a)"
    shown = subprocess.run(
        [sys.executable, "-c", set_on, str(clock)], env=trial.environment, capture_output=True, text=True, check=True
    ).stdout
    assert float(shown) > 7000  # else this shows nothing
    clock.write_text("0")
    process = trial.start()
    for n_epochs, seconds in enumerate(jumps, start=1):

        def is_there(n_epochs: int = n_epochs) -> bool:
            return len(trial.epochs) >= n_epochs or process.poll() is not None

        trial.wait_for(is_there)
        clock.write_text(str(seconds))
    assert trial.wait(process) == 0, trial.log.read_text()
    figures = check_finished(trial)
    records = list(read_records(journal_path(trial.fold_folder())))
    times = [record.time_ms for record in records]
    assert times == sorted(set(times))
    assert all(0 <= record.values["epoch_seconds"] < 200 for record in trial.epochs)
    assert times[-1] - times[0] < 600_000
    manifest = read_committed(trial.fold_folder())
    assert manifest is not None
    assert all(0 <= seconds < 200 for seconds in manifest.seconds.values())
    started, ended = (datetime.fromisoformat(manifest.details[name]) for name in ("started", "ended"))
    assert 0 < (ended - started).total_seconds() < 600
    run = run_of(trial)
    assert run.info.start_time == times[0]
    assert run.info.end_time >= times[-1]
    said(jumps=jumps, **figures)


def run_of(trial: Trial) -> Any:
    client = connect(Destination(trial.tracking_uri, trial.folder / "data" / "mlartifacts"))
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`{FOLD}` = '{FOLD_OF_TRIALS}'")
    return run


# --- the end of the disk ------------------------------------------------------------------------------------------

AT_THE_END = """
import json, os, resource, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from nnunet_assets.nnunet.checkpoints.checkpoints import save_checkpoints_safely
from nnunet_assets.processes.child import ChildFailure

folder, checkpoint = Path(sys.argv[1]), torch.load(sys.argv[2], map_location="cpu", weights_only=False)
outcomes, best = {}, folder / "checkpoint_best.pth"
trainer = SimpleNamespace(current_epoch=6, save_every=1, disable_checkpointing=False, on_epoch_end=None)
trainer.save_checkpoint = lambda name: torch.save(checkpoint, name)
save_checkpoints_safely(trainer, folder, minutes=10)
trainer.save_checkpoint(str(best))
n_bytes, before = best.stat().st_size, best.read_bytes()
for n_missing in range(300, -1, -1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes - n_missing, resource.RLIM_INFINITY))
    try:
        trainer.save_checkpoint(str(best))
        outcome = "whole"
    except (ChildFailure, OSError) as failure:
        outcome = getattr(getattr(failure, "code", None), "name", type(failure).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    outcomes[n_missing] = outcome
    assert not list(folder.glob(".*.part")), n_missing
    assert torch.load(best, map_location="cpu", weights_only=False)["current_epoch"] == checkpoint["current_epoch"]
    assert outcome == "whole" or best.read_bytes() == before, n_missing
print(json.dumps(outcomes))
"""


@pytest.mark.parametrize("name", ["plain", "Übersicht"])
def test_a_disk_that_ends_within_the_last_bytes_of_a_checkpoint_leaves_the_one_before(
    prepared: Prepared, tmp_path: Path, said: Callable[..., None], name: str
) -> None:
    (tmp_path / name / ".nnunet_assets").mkdir(parents=True)
    checkpoint = prepared.sibling / "checkpoint_final.pth"
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END, str(tmp_path / name), str(checkpoint)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert outcomes.pop("0") == "whole"
    assert "whole" not in outcomes.values(), outcomes
    said(cuts=len(outcomes), outcomes=dict(Counter(outcomes.values())))
