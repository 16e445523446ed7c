"""`nnunet-assets check`: a raw dataset looked at, before anything is made from it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli.project_settings import project_settings
from nnunet_assets.config import DatasetConfig
from nnunet_assets.core.findings import findings_text
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets.project import EXPERIMENTS_FOLDER, read_project
from nnunet_assets.settings import PROJECT_VARIABLE, Settings

if TYPE_CHECKING:
    from nnunet_assets.nnunet.raw_data import RawDataset


@click.command()
@click.argument("dataset")
@click.option(
    "--rehash", is_flag=True, help="Read every file anew, also those whose size and times are as they were last time."
)
@click.option(
    "--folds", type=click.IntRange(min=2), help="Folds that the cases must suffice for. Default: as declared, else 5."
)
@click.option(
    "--project",
    envvar=PROJECT_VARIABLE,
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    help="Project folder, whose nnUNet_raw is meant. Default: NNUNET_ASSETS_PROJECT, else the current folder.",
)
def check(dataset: str, rehash: bool, folds: int | None, project: Path) -> int:
    """Read every case of DATASET, such as Dataset004_Hippocampus, and say what is wrong with it.

    Cases that have not changed since they were last read are not read again. The findings are shown, and written with
    tables and a page into nnUNet_preprocessed. The exit code is 1 where one of them is an error, else 0.
    """
    settings = project_settings(project)
    found = inspect(settings, dataset, n_folds=folds or _declared_folds(settings, dataset), rehash=rehash)
    if found.findings:
        click.echo(findings_text([*found.errors, *found.warnings]))
    click.echo(f"{dataset}: {found.report.headline()}. {found.n_read} cases were read.")
    return 1 if found.errors else 0


def inspect(settings: Settings, dataset: str, *, n_folds: int, rehash: bool) -> "RawDataset":
    """Looks at a dataset with a progress bar, and records what was found as the asset does; says where the page is."""
    # Numpy comes with them.
    from rich.console import Console
    from rich.progress import Progress

    from nnunet_assets.nnunet.fact_cache import FactCache
    from nnunet_assets.nnunet.raw_data import inspect_raw_dataset
    from nnunet_assets.reports.intake_files import write_intake

    prepared = PreparedDataset(settings.roots, dataset)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Reading the cases", total=None)

        def show(n_done: int, n_cases: int) -> None:
            progress.update(task, completed=n_done, total=n_cases)

        cache = FactCache(prepared.fact_cache, rehash=rehash)
        found = inspect_raw_dataset(settings.roots.raw, dataset, n_folds, show, cache)
    prepared.write_raw(found.record)
    page, *_ = write_intake(prepared.intake_folder, found.report)
    click.echo(f"The report is in {page}")
    return found


def _declared_folds(settings: Settings, dataset: str) -> int:
    """Returns the folds that the project declares; without a project, or a declaration in it, nnU-Net's."""
    datasets = read_project(settings.project).datasets if (settings.project / EXPERIMENTS_FOLDER).is_dir() else ()
    declared = [config for config in datasets if config.dataset == dataset]
    return declared[0].folds if declared else int(DatasetConfig.model_fields["folds"].default)
