"""The driver of a search: `python -m nnunet_assets.workflows.search.tune_driver FOLDER PARENT`, Ray Tune in a process.

A Ray of its own, on this machine alone and gone with this process, holds one process a trial, which supervises the
trial's fold on whatever engine is declared. Tune decides when a trial begins and ends; what it needs to know for that
comes from `Direction`, and nothing that it writes is read again.
"""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nnunet_assets.core.search.curve_files import SCORE
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.child import child_main
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.search.book import Book
from nnunet_assets.workflows.search.direction import DONE, ENDED, EPOCHS, Direction
from nnunet_assets.workflows.search.trial import TrialRun, TrialWork

TUNE_FOLDER = "tune"
POLL_SECONDS = 0.5
PAUSE_SECONDS = 0.4
"""Between two looks of Tune at trials that report nothing: it looks ten times a second by itself."""
MOST_RESTARTS = 3
"""Of a trial whose process is killed, by one driver."""

OBJECT_STORE_BYTES = 80 << 20
"""Hardly more than Ray's least, 75 MiB; nothing but numbers goes through it."""

RAY_VARIABLES = {
    # What a trial starts is not to run at a lower priority than any other fold.
    "RAY_worker_niceness": "0",
    # Devices are leased by the folds; Ray would hide them from a process that asks it for none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray would end a supervisor where something else fills the machine's memory.
    "RAY_memory_monitor_refresh_ms": "0",
    # Nobody asks how this Ray is, whose own processes look at each other ten times a second.
    "RAY_raylet_report_resources_period_milliseconds": "500",
    "RAY_raylet_check_gc_period_milliseconds": "5000",
    "RAY_gcs_pull_resource_loads_period_milliseconds": "10000",
    "RAY_kill_idle_workers_interval_ms": "5000",
    "RAY_report_worker_backlog_interval_ms": "5000",
    "RAY_local_fs_monitor_interval_ms": "5000",
    "RAY_io_context_monitor_probe_interval_ms": "60000",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""What the driver's process and Ray's read of their environment."""


@dataclass(frozen=True)
class DriverRequest:
    """What a driver is asked.

    Attributes:
        project: The project's folder.
        dataset: Whose search.
        name: Which one.
        is_tracked: Whether the trials' folds go to MLflow.
    """

    project: Path
    dataset: str
    name: str
    is_tracked: bool


def drive(request: DriverRequest) -> None:
    """Runs the search to its end, or until it is asked to stop."""
    # Who started it gave it what the project's `.env` says, and what goes before that.
    settings, project = Settings.from_environment(request.project), read_project(request.project)
    config = next(one for one in project.searches_of(request.dataset) if one.name == request.name)
    book = Book(config, settings.roots)
    if book.record.space != config.space:
        raise ConfigError(
            f"{config.title}: its space was changed while it ran. Run it again with `--extend`, or restore it."
        )
    direction = Direction(book)
    work = TrialWork(settings, project, config, Destination.of(settings) if request.is_tracked else None)
    folder = direction.book.folder / TUNE_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    # Ray's import puts a handler of its own in the place of SIGTERM's.
    with _own_ray(config.budget.at_once), _stopped_by_signals(direction):
        run_tune(direction, work, folder)


def run_tune(direction: Direction, work: TrialWork, folder: Path) -> None:
    """Has Tune run all trials that are left, in a Ray that is there already.

    Args:
        direction: Of the search.
        work: What its trials have in common.
        folder: Takes what Tune writes.
    """
    from ray import tune

    budget = work.config.budget
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable(), work=work, folder=direction.book.folder), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            num_samples=direction.book.n_to_run,
            max_concurrent_trials=budget.at_once,
            search_alg=searcher(direction),
            scheduler=scheduler(direction),
        ),
        run_config=tune.RunConfig(
            name=work.config.name,
            storage_path=str(folder),
            verbose=0,
            callbacks=[pause()],
            failure_config=tune.FailureConfig(max_failures=MOST_RESTARTS),
            # The fold's folder is the checkpoint.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def trainable() -> type:
    """Returns the class whose objects Tune keeps in processes of their own, one for each trial."""
    from ray import tune

    from nnunet_assets.core.search.trial_files import STOP_FILE

    class FoldTrial(tune.Trainable):  # type: ignore[misc] # Ray ships no types that are followed
        def setup(self, config: dict[str, Any], work: TrialWork, folder: Path) -> None:
            self._stop_file = folder / STOP_FILE
            self._run = TrialRun(work, config["number"], config["point"])
            self._run.start()

        def step(self) -> dict[str, Any]:
            while not self._stop_file.exists():
                if report := self._run.next_report(POLL_SECONDS):
                    return report
            return {DONE: True, ENDED: "interrupted"}

        def cleanup(self) -> None:
            self._run.end()

    return FoldTrial


def pause() -> Any:
    """Returns what has Tune wait a moment after a look that found no report."""
    from ray import tune

    class Pause(tune.Callback):  # type: ignore[misc]
        has_report = False

        def on_trial_result(self, *_: Any, **__: Any) -> None:
            self.has_report = True

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if not self.has_report:
                time.sleep(PAUSE_SECONDS)
            self.has_report = False

    return Pause()


def searcher(direction: Direction) -> Any:
    """Returns what Tune asks for trials, and tells of them."""
    from ray.tune.search import Searcher

    class Directed(Searcher):  # type: ignore[misc]
        def suggest(self, trial_id: str) -> Any:
            trial = direction.next_trial(trial_id)
            return {"number": trial.number, "point": dict(trial.point)} if trial else Searcher.FINISHED

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            direction.reported(trial_id, result)

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            direction.completed(trial_id, result, is_error=error)

        def save(self, checkpoint_path: str) -> None:
            Path(checkpoint_path).touch()

        def restore(self, checkpoint_path: str) -> None:
            raise NotImplementedError("A search goes on from its book.")

    return Directed(SCORE, "max")


def scheduler(direction: Direction) -> Any:
    """Returns what tells Tune which trials to stop: Ray's ASHA, that knows also of the epochs of earlier processes."""
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

    budget = direction.book.config.budget
    if budget.min_epochs is None:
        return FIFOScheduler()

    class JournalAsha(ASHAScheduler):  # type: ignore[misc]
        def on_trial_add(self, controller: Any, trial: Any) -> None:
            super().on_trial_add(controller, trial)
            self._recall(trial, trial.config["number"])

        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            # At its last epoch it is compared with nobody: its validation is still to come.
            if direction.is_last_epoch(result):
                return str(TrialScheduler.CONTINUE)
            decision = str(super().on_trial_result(controller, trial, result))
            if decision == TrialScheduler.STOP:
                direction.stopped(trial.trial_id, result)
            return decision

        def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
            self.on_trial_remove(controller, trial)

        def recall_ended(self) -> None:
            for number in direction.ended_before():
                stand_in = SimpleNamespace(trial_id=f"ended before: {number}")
                super().on_trial_add(None, stand_in)
                self._recall(stand_in, number)

        def _recall(self, trial: Any, number: int) -> None:
            """Records what a trial scored in earlier processes; that it goes on was decided there."""
            for n_epochs, score in direction.earlier_scores(number):
                super().on_trial_result(None, trial, {EPOCHS: n_epochs, SCORE: score})

    asha = JournalAsha(
        time_attr=EPOCHS,
        metric=SCORE,
        mode="max",
        max_t=budget.max_epochs,
        grace_period=budget.min_epochs,
        reduction_factor=budget.reduction,
    )
    asha.recall_ended()
    return asha


@contextmanager
def _own_ray(n_trials: int) -> Iterator[None]:
    import ray

    # Each counts as one processor: what a trial takes is the engine's to count.
    ray.init(
        address="local",
        num_cpus=n_trials,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        namespace="nnunet_assets",
        logging_level="ERROR",
    )
    try:
        _end_unused(ray)
        yield
    finally:
        ray.shutdown()


def _end_unused(ray: Any) -> None:
    """Ends what copies the output of Ray's workers, ours go into a file by themselves, and what would add machines."""
    # An economy of a third of what this Ray takes of a processor; one that has other names for them keeps them.
    with suppress(AttributeError):
        node = ray._private.worker._global_node
        node.kill_log_monitor(check_alive=False)
        node.kill_monitor(check_alive=False)


@contextmanager
def _stopped_by_signals(direction: Direction) -> Iterator[None]:
    """Has the trials end in order where this process is asked to: their folds keep what they have."""

    def stop(*_: object) -> None:
        direction.stop("it was asked to end (SIGINT or SIGTERM)")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    child_main(DriverRequest, drive)
