"""`nnunet-assets check`: a raw dataset looked at, before anything is made from it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli.exit_codes import DONE, ERROR
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import EXPERIMENTS_FOLDER, read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.preparation.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.raw.raw_root import dataset_folder
from nnunet_assets.settings import Settings, project_settings

if TYPE_CHECKING:
    from nnunet_assets.nnunet.preparation.curated_dataset import CuratedDataset
    from nnunet_assets.nnunet.raw.raw_data import RawDataset


@click.command()
@click.argument("dataset")
@click.option(
    "--rehash", is_flag=True, help="Read every file anew, also those whose size and times are as they were last time."
)
@click.option(
    "--folds", type=click.IntRange(min=2), help="Folds that the cases must suffice for. Default: as declared, else 5."
)
@click.option(
    "--fix",
    is_flag=True,
    help="Leave cases with errors out, and repair headers that differ by at most 0.1 mm in copies; no file is changed.",
)
@click.option(
    "--files-from",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="A folder outside of nnUNet_raw in which files that dataset.json lists may lie, as `files_from` declares it.",
)
@click.option("--undo", is_flag=True, help="Take back what --fix decided.")
@project_option
def check(
    dataset: str,
    project: Path,
    *,
    rehash: bool,
    folds: int | None,
    fix: bool,
    files_from: tuple[str, ...],
    undo: bool,
) -> int:
    """Read every case of DATASET, such as Dataset004_Hippocampus, and say what is wrong with it.

    Cases that have not changed since they were last read are not read again. The findings are shown, and written with
    tables and a page into nnUNet_preprocessed. The exit code is 1 where one of them is an error, else 0.
    """
    settings = project_settings(project)
    if fix and undo:
        raise ConfigError("--fix and --undo contradict each other. Give one of the two.")
    if undo:
        _undo(settings, dataset)
    found, curated = inspect(settings, dataset, n_folds=folds, rehash=rehash, files_from=files_from)
    if fix and _fix(settings, found, curated):
        found, _ = inspect(settings, dataset, n_folds=folds, rehash=False, files_from=files_from)
    if found.findings:
        click.echo(findings_text([*found.errors, *found.warnings]))
    click.echo(f"{dataset}: {found.report.headline()}. Cases read: {found.n_read}.")
    return ERROR if found.errors else DONE


def _fix(settings: Settings, found: "RawDataset", curated: "CuratedDataset") -> bool:
    """Shows and writes what can be done about the findings; returns whether there is anything."""
    # Numpy comes with it.
    from nnunet_assets.nnunet.preparation.curation_file import propose_fixes, read_curation, write_curation

    prepared = PreparedFolder(settings.roots, found.name)
    fixes = propose_fixes(
        settings.roots,
        found.name,
        found.findings,
        quarantined=curated.quarantined,
        repaired=[repair.file for repair in curated.repairs],
        variables=settings.child_environment(),
    )
    for case, reason in fixes.curation.quarantine.items():
        click.echo(f"{case} is left out: {reason}")
    for repair in fixes.repairs:
        click.echo(f"{repair.file} gets the header of {repair.first.name} in a copy ({repair.distance_mm:.3g} mm).")
    if fixes.left:
        click.echo(f"For you to put right:\n{findings_text(fixes.left)}")
    if fixes.curation == Curation():
        click.echo("There is nothing that --fix can do.")
        return False
    path = write_curation(prepared, fixes.curation.over(read_curation(prepared)))
    click.echo(f"This is noted in {path}; --undo takes it back. The files in {found.folder} stay as they are.\n")
    return True


def _undo(settings: Settings, dataset: str) -> None:
    from nnunet_assets.nnunet.preparation.curation_file import remove_curation

    dataset_folder(settings.roots.raw, dataset)  # a name that is none must lead nowhere
    was_there = remove_curation(PreparedFolder(settings.roots, dataset))
    click.echo("What --fix decided is taken back." if was_there else "There was nothing that --fix had decided.")


def inspect(
    settings: Settings, dataset: str, *, n_folds: int | None, rehash: bool, files_from: tuple[str, ...] = ()
) -> "tuple[RawDataset, CuratedDataset]":
    """Looks at a dataset with a progress bar, and records what was found as the asset does; says where the page is."""
    # Numpy comes with them.
    from rich.console import Console
    from rich.progress import Progress

    from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
    from nnunet_assets.nnunet.raw.fact_cache import FactCache
    from nnunet_assets.reports.pages.intake_files import write_intake

    prepared = PreparedFolder(settings.roots, dataset)
    default_folds, curation = _declared(settings, dataset)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Reading the cases", total=None)

        def show(n_done: int, n_cases: int) -> None:
            progress.update(task, completed=n_done, total=n_cases)

        cache = FactCache(prepared.fact_cache, rehash=rehash)
        found, curated = look_at_raw_data(
            settings.roots,
            dataset,
            n_folds or default_folds,
            curation.over(Curation(files_from=files_from)),
            show,
            cache=cache,
            variables=settings.child_environment(),
        )
    for case, reason in curated.quarantined.items():
        click.echo(f"{case} is in quarantine: {reason}")
    if curated.repairs:
        click.echo(f"Files with repaired headers, in copies below {curated.raw_root}: {len(curated.repairs)}.")
    page, *_ = write_intake(prepared.intake_folder, found.report, settings.places)
    click.echo(f"The report is in {page}")
    return found, curated


def _declared(settings: Settings, dataset: str) -> tuple[int, Curation]:
    """Returns the folds and the curation that the project declares; without a declaration, nnU-Net's folds and none."""
    datasets = read_project(settings.project).datasets if (settings.project / EXPERIMENTS_FOLDER).is_dir() else ()
    declared = [config for config in datasets if config.dataset == dataset]
    if declared:
        return declared[0].folds, declared[0].curation
    return int(DatasetConfig.model_fields["folds"].default), Curation()
