"""`demo`: the main job from the raw data to the table, with real trainings, in a few minutes."""

import logging
import os
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from nnunet_assets.cli.project.demo_steps import shown_steps
from nnunet_assets.cli.tables import print_table
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import ConfigError, NnunetAssetsError, TrackingError
from nnunet_assets.processes.variables import PROJECT_VARIABLE
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.reports.tables.summary_tables import to_short_records
from nnunet_assets.settings import Settings, is_project, project_settings

if TYPE_CHECKING:
    import dagster as dg

DEMO_FOLDER = "nnunet_assets_demo"


class DemoError(NnunetAssetsError):
    """A step of the demo failed; Dagster's record of it says why."""


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
def demo(folder: Path | None) -> None:
    """Run a whole cross-validation on a generated dataset.

    In FOLDER, a project that declares a phantom dataset, or a new folder, which becomes one; without it in the current
    folder if that is one, else in nnunet_assets_demo. What is finished is not done again.
    """
    root = _project_folder(folder).resolve()
    settings = project_settings(root)
    project = read_project(root)
    config = _phantom_experiment(project)
    # A file has no width, and rich would take 80 columns; nor does it break paths to fit into those that there are.
    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=True)
    console.print(f"[bold]{config.identity.title}[/bold]: {len(project.folds_of(config))} folds in {root}")
    started = time.monotonic()
    runner = _Runner(settings)
    with open_instance(settings.project) as instance, shown_steps(console, settings, config) as step:
        step("preparation")
        runner.run(instance, "prepare", config.dataset)
        for fold in project.folds_of(config):
            step(fold)
            runner.run(instance, "train", *config.identity.key_prefix, partition=fold)
        step("summary and tables")
        runner.run(instance, "summarize", *config.identity.key_prefix)
    _print_table(console, settings, config)
    _print_runs(console, settings, config)
    where = "" if root == Path.cwd() else f" {folder or DEMO_FOLDER}"
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Look at it in the web UI (Dagster and MLflow):")
    # `make` runs the command from its environment, which a user's shell does not know.
    command = "nnunet-assets" if shutil.which("nnunet-assets") else sys.argv[0]
    console.print(f"\n    {command} dev{where}\n")


def _project_folder(named: Path | None) -> Path:
    if named is None and is_project(Path.cwd()):
        return Path.cwd()
    folder = named or Path(DEMO_FOLDER)
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

    def run(self, instance: "dg.DagsterInstance", verb: str, *parts: str, partition: str | None = None) -> None:
        from nnunet_assets.jobs import job_name

        job = self._definitions.resolve_job_def(job_name(verb, *parts))
        result = job.execute_in_process(
            instance=instance,
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


def _print_table(console: Console, settings: Settings, config: ExperimentConfig) -> None:
    folder = config.identity.summary_folder(settings.roots)
    summary = read_summary(folder / CV_SUMMARY_FILE)
    print_table(console, to_short_records(summary), ["label"], summary.headline())
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
