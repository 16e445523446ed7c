"""`check-config`: what Dagster would load, checked without Dagster."""

from pathlib import Path

import click
from rich.table import Table

from nnunet_assets.cli.terminal import console
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.processes.variables import PROJECT_VARIABLE


@click.command()
@click.argument("folder", default=".", envvar=PROJECT_VARIABLE, type=click.Path(path_type=Path, file_okay=False))
def check_config(folder: Path) -> None:
    """Check the YAML files of the project in FOLDER, and show what they declare.

    Without FOLDER the project is NNUNET_ASSETS_PROJECT, else the current folder. Every error of every file is shown
    with its line, and ends the command with 1.
    """
    project = read_project(folder)
    terminal = console()
    if not project.datasets:
        terminal.print(
            f"{project.root} declares no dataset yet. `nnunet-assets init` writes an example into a new folder."
        )
        return
    terminal.print(_dataset_table(project))
    terminal.print(_experiment_table(project))
    terminal.print(f"No errors in the declarations of {project.root}.")


def _dataset_table(project: Project) -> Table:
    table = Table("Dataset", "Folds", "Data", "Experiments")
    for dataset in project.datasets:
        n_experiments = len(project.experiments_of(dataset.dataset))
        table.add_row(dataset.dataset, str(dataset.folds), _data(dataset), str(n_experiments))
    return table


def _data(dataset: DatasetConfig) -> str:
    if dataset.phantom:
        return f"generated, {dataset.phantom.cases} cases, seed {dataset.phantom.seed}"
    return "the user's own"


def _experiment_table(project: Project) -> Table:
    table = Table("Experiment", "Folds", "Device", "Overrides")
    for experiment in project.experiments:
        folds = ", ".join(fold.removeprefix("fold_") for fold in project.folds_of(experiment))
        table.add_row(experiment.identity.title, folds, experiment.device, _overrides(experiment))
    return table


def _overrides(experiment: ExperimentConfig) -> str:
    variant = experiment.variant
    overrides = {**variant.overrides(), **variant.options()} if variant else {}
    return "\n".join(f"{name}: {value}" for name, value in overrides.items()) or "none"
