"""`demo`: the main job from the raw data to the table, with real trainings, in a few minutes."""

import logging
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from nnunet_assets.core.files.layout import CV_SUMMARY_FILE
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import EXPERIMENTS_FOLDER, Project, read_project
from nnunet_assets.errors import ConfigError, NnunetAssetsError, TrackingError
from nnunet_assets.processes.variables import PROJECT_VARIABLE
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.reports.tables.summary_tables import to_short_records
from nnunet_assets.settings import Settings, project_settings

if TYPE_CHECKING:
    import dagster as dg

DEMO_FOLDER = "nnunet_assets_demo"


class DemoError(NnunetAssetsError):
    """A step of the demo failed; Dagster's record of it says why."""


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
def demo(folder: Path | None) -> None:
    """Run a whole cross-validation on a generated dataset.

    In FOLDER, a project that declares a phantom dataset; without it in the current folder if that is one, else in the
    new folder nnunet_assets_demo. What is finished is not done again.
    """
    root = (folder or _default_folder()).resolve()
    settings = project_settings(root)
    project = read_project(root)
    config = _phantom_experiment(project)
    console = Console()
    console.print(f"[bold]{config.identity.title}[/bold]: {len(project.folds_of(config))} folds in {root}")
    started = time.monotonic()
    runner = _Runner(settings)
    with _progress_bars(console, settings, config) as step:
        step("preparation")
        runner.run("prepare", config.dataset)
        for fold in project.folds_of(config):
            step(fold)
            runner.run("train", *config.identity.key_prefix, partition=fold)
        step("summary and tables")
        runner.run("summarize", *config.identity.key_prefix)
    _print_table(console, settings, config)
    _print_runs(console, settings, config)
    where = "" if root == Path.cwd() else f" {folder or DEMO_FOLDER}"
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Look at it in the web UI (Dagster and MLflow):")
    # `make` runs the command from its environment, which a user's shell does not know.
    command = "nnunet-assets" if shutil.which("nnunet-assets") else sys.argv[0]
    console.print(f"\n    {command} dev{where}\n")


def _default_folder() -> Path:
    if (Path.cwd() / EXPERIMENTS_FOLDER).is_dir():
        return Path.cwd()
    folder = Path(DEMO_FOLDER)
    if not folder.exists():
        from nnunet_assets.cli.project.init import init_project

        init_project(folder)
    return folder


def _phantom_experiment(project: Project) -> ExperimentConfig:
    phantoms = {dataset.dataset for dataset in project.datasets if dataset.phantom}
    for experiment in project.experiments:
        if experiment.dataset in phantoms:
            return experiment
    raise ConfigError(
        f"{project.root} declares no experiment on a phantom dataset, which the demo runs. Name another folder, or run "
        "the demo in an empty one."
    )


class _Runner:
    """Runs the project's jobs in this process and records them in its Dagster instance, where the web UI shows them."""

    def __init__(self, settings: Settings) -> None:
        ensure_instance(settings.project)
        # Dagster and the assets find the project and what its `.env` says by these; child processes inherit them.
        os.environ.update(settings.variables)
        os.environ[PROJECT_VARIABLE] = str(settings.project)
        os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
        import dagster as dg

        from nnunet_assets.definitions import load_definitions

        # The terminal belongs to the progress bars: Dagster's and MLflow's news are in the web UI.
        warnings.filterwarnings("ignore", category=dg.PreviewWarning)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)

        self._definitions = load_definitions(settings.project)
        self._instance = dg.DagsterInstance.get()

    def run(self, verb: str, *parts: str, partition: str | None = None) -> None:
        from nnunet_assets.jobs import job_name

        job = self._definitions.resolve_job_def(job_name(verb, *parts))
        result = job.execute_in_process(
            instance=self._instance,
            partition_key=partition,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        if not result.success:
            raise DemoError(f"{partition or verb} failed: {_reason(result)}")


def _reason(result: "dg.ExecuteInProcessResult") -> str:
    checks = [check for check in result.get_asset_check_evaluations() if not check.passed and check.blocking]
    if checks:
        return "\n".join(str(check.description) for check in checks)
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.error and failure.error.cls_name == "DagsterExecutionInterruptedError":
                raise KeyboardInterrupt
            if failure.user_failure_data and failure.user_failure_data.description:
                return str(failure.user_failure_data.description)
            return str(failure.error)
    return "see the run in the web UI"


@contextmanager
def _progress_bars(console: Console, settings: Settings, config: ExperimentConfig) -> Iterator["_Steps"]:
    columns = (
        TextColumn("{task.description:18}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        steps = _Steps(progress, settings, config)
        watcher = threading.Thread(target=steps.watch, daemon=True)
        watcher.start()
        try:
            yield steps
            steps.finish()
        finally:
            steps.ended.set()
            watcher.join()


class _Steps:
    """One bar a step; a fold's bar follows the journal that its process writes."""

    def __init__(self, progress: Progress, settings: Settings, config: ExperimentConfig) -> None:
        self.ended = threading.Event()
        self._progress, self._settings, self._config = progress, settings, config
        self._task: TaskID | None = None
        self._name = ""

    def __call__(self, name: str) -> None:
        self.finish()
        self._name = name
        self._task = self._progress.add_task(name, total=None, note="")

    def finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1, note=self._result())
            self._progress.stop_task(self._task)
            self._task = None

    def watch(self) -> None:
        while not self.ended.wait(0.5):
            task, epochs = self._task, self._epochs()
            if task is None or not epochs:
                continue
            total = self._n_epochs()
            mean_seconds = sum(e["epoch_seconds"] for e in epochs) / len(epochs)
            left = mean_seconds * (total - len(epochs))
            note = f"{len(epochs)} of {total} epochs, about {left:.0f} s left" if left else "validating"
            self._progress.update(task, total=total, completed=len(epochs), note=note)

    def _fold_folder(self) -> Path:
        return self._config.identity.fold_folder(self._settings.roots, self._name)

    def _epochs(self) -> list[dict[str, float]]:
        records = read_records(journal_path(self._fold_folder())) if self._name.startswith("fold_") else ()
        return [dict(record.values) for record in records if record.kind == "epoch"]

    def _n_epochs(self) -> int:
        for record in read_records(journal_path(self._fold_folder())):
            if record.kind == "start":
                return int(record.values["params"]["trainer"]["num_epochs"])
        return 1

    def _result(self) -> str:
        if not self._name.startswith("fold_") or read_committed(self._fold_folder()) is None:
            return ""
        ends = [r.values for r in read_records(journal_path(self._fold_folder())) if r.kind == "end"]
        return f"Dice {ends[-1]['val_dice_mean']:.3f}" if ends and ends[-1]["val_dice_mean"] is not None else ""


def _print_table(console: Console, settings: Settings, config: ExperimentConfig) -> None:
    folder = config.identity.summary_folder(settings.roots)
    summary = read_summary(folder / CV_SUMMARY_FILE)
    rows = to_short_records(summary)
    table = Table(title=summary.headline(), title_justify="left")
    for column in rows[0]:
        table.add_column(column.capitalize(), justify="left" if column == "label" else "right")
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
    console.print(f"Tables (CSV, LaTeX, Markdown) and summary: {folder}")


def _print_runs(console: Console, settings: Settings, config: ExperimentConfig) -> None:
    from nnunet_assets.tracking.reading.queries import tracked_folds
    from nnunet_assets.tracking.store.client import connect
    from nnunet_assets.tracking.store.destination import Destination

    destination = Destination.of(settings)
    name = destination.experiment_of(config.dataset)
    try:
        runs = tracked_folds(connect(destination), config.identity, experiment_name=name)
    except TrackingError as error:
        console.print(str(error))
        return
    folds = ", ".join(f"{fold} {status}" for fold, status in sorted(runs.items()))
    console.print(f"Tracked in MLflow, experiment {name}: {folds or 'nothing'}")
