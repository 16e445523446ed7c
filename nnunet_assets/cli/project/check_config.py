"""`check-config`: what Dagster would load, checked without Dagster."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli.exit_codes import DONE, ERROR, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import console
from nnunet_assets.declarations.absent import absent_data
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.engine_file import ENGINE_FILE
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.processes.variables import unread_variables
from nnunet_assets.project_folder.network_drives import network_sentences
from nnunet_assets.reports.text.experiment_names import short_names
from nnunet_assets.settings import Settings, project_settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@project_option
def check_config(project: Path) -> int:
    """Check the YAML files of the project, and show what they declare.

    Every error of every file is shown with its line, and ends the command with 1. So does a trainer, plans or weights
    that they name and that are not there; where only a dataset is still to be brought, it ends with 2.
    """
    from nnunet_assets.cli.diagnosis.declared_things import wrong_choices

    declared = read_project(project)
    settings = project_settings(project)
    terminal = console()
    if not declared.datasets:
        terminal.print(
            f"{declared.root} declares no dataset yet. `nnunet-assets init` writes an example into a new folder."
        )
        return DONE
    print_table(terminal, _dataset_rows(declared), ["dataset"])
    for dataset in declared.datasets:
        _print_experiments(terminal, declared, dataset.dataset)
        _print_ensembles(terminal, declared, dataset.dataset)
        _print_searches(declared, settings, dataset.dataset)
    if declared.in_jobs:
        click.echo(_in_jobs(declared))
    for name, sentence in unread_variables(settings.variables):
        click.echo(f"{name} {sentence}")
    for sentence in network_sentences(settings):
        click.echo(sentence)
    terminal.print(f"No errors in the declarations of {declared.root}.")
    data, choices = list(absent_data(declared, settings.roots)), wrong_choices(declared, settings)
    if data or choices:
        click.echo("\n".join(["But not everything that they name is there:", *map(str, (*data, *choices))]))
    return ERROR if choices else INCOMPLETE if data else DONE


def _in_jobs(project: Project) -> str:
    """Says which folds train in a cluster's jobs, and how many at once."""
    engines = sorted({project.engine_of(experiment).chosen for experiment in project.in_jobs})
    n, n_all = len(project.in_jobs), len(project.experiments)
    what = "All folds" if n == n_all else f"The folds of {n} of {n_all} experiments"
    at_once = project.engine.folds_at_once
    return (
        f"{what} train in jobs of {' and '.join(engines)}, at most {at_once} at once, those that wait there included "
        f"(folds_at_once in {ENGINE_FILE})."
    )


def _dataset_rows(project: Project) -> list[dict[str, str]]:
    return [
        {
            "dataset": dataset.dataset,
            "folds": str(dataset.folds),
            "data": _data(dataset),
            "experiments": str(len(project.experiments_of(dataset.dataset))),
        }
        for dataset in project.datasets
    ]


def _data(dataset: DatasetConfig) -> str:
    if dataset.phantom:
        return f"generated, {dataset.phantom.cases} cases, seed {dataset.phantom.seed}"
    return "the user's own"


def _print_experiments(terminal: "Console", project: Project, dataset: str) -> None:
    experiments = project.experiments_of(dataset)
    names, in_common = short_names([experiment.identity.name_in_dataset for experiment in experiments])
    rows = [
        {
            "experiment": names[experiment.identity.name_in_dataset],
            "folds": ", ".join(fold.removeprefix("fold_") for fold in project.folds_of(experiment)),
            "device": experiment.device,
            "overrides": _overrides(experiment),
        }
        for experiment in experiments
    ]
    print_table(terminal, rows, ["experiment"], f"{dataset}{f', in all: {in_common}' if in_common else ''}")


def _print_ensembles(terminal: "Console", project: Project, dataset: str) -> None:
    ensembles = project.ensembles_of(dataset)
    rows = [{"ensemble": one.identity.name_in_dataset, "members": "\n".join(one.members)} for one in ensembles]
    print_table(terminal, rows, ["ensemble", "members"])


def _print_searches(project: Project, settings: Settings, dataset: str) -> None:
    from nnunet_assets.workflows.search.cost import missing_packages, search_cost

    for one in project.searches_of(dataset):
        click.echo(f"{one.title}, on {one.fold_key}: {one.declared_space}. {search_cost(settings, one)}.")
    if project.searches_of(dataset) and (missing := missing_packages()):
        click.echo(missing)


def _overrides(experiment: ExperimentConfig) -> str:
    variant = experiment.variant
    overrides = variant.changes() if variant else {}
    return "\n".join(f"{name}: {value}" for name, value in overrides.items()) or "none"
