"""`check-config`: what Dagster would load, checked without Dagster."""

from pathlib import Path

import click
from rich.table import Table

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import console
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project


@click.command()
@project_option
def check_config(project: Path) -> None:
    """Check the YAML files of the project, and show what they declare.

    Every error of every file is shown with its line, and ends the command with 1.
    """
    declared = read_project(project)
    terminal = console()
    if not declared.datasets:
        terminal.print(
            f"{declared.root} declares no dataset yet. `nnunet-assets init` writes an example into a new folder."
        )
        return
    terminal.print(_dataset_table(declared))
    terminal.print(_experiment_table(declared))
    terminal.print(f"No errors in the declarations of {declared.root}.")


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
