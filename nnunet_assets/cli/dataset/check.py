"""`nnunet-assets check`: a raw dataset looked at, before anything is made from it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, ERROR
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings, project_settings
from nnunet_assets.workflows.dataset import check as checking

if TYPE_CHECKING:
    from nnunet_assets.workflows.dataset.prepare import LookedAt


@click.command()
@click.argument("dataset", shell_complete=completions.datasets)
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
        was_there = checking.undo(settings, dataset)
        click.echo("What --fix decided is taken back." if was_there else "There was nothing that --fix had decided.")
    looked = _look(settings, dataset, n_folds=folds, rehash=rehash, files_from=files_from)
    if fix and _fix(settings, looked):
        looked = _look(settings, dataset, n_folds=folds, files_from=files_from)
    found = looked.found
    if found.findings:
        click.echo(findings_text([*found.errors, *found.warnings]))
    click.echo(f"{dataset}: {found.report.headline()}. Cases read: {found.n_read}.")
    return ERROR if found.errors else DONE


def _look(settings: Settings, dataset: str, **how: Any) -> "LookedAt":
    """Looks at a dataset with a progress bar; says what is left out, and where the page is."""
    with TerminalProgress() as progress:
        looked = checking.check(settings, dataset, progress, **how)
    for case, reason in looked.curated.quarantined.items():
        click.echo(f"{case} is in quarantine: {reason}")
    if looked.curated.repairs:
        copies, n = looked.curated.raw_root, len(looked.curated.repairs)
        click.echo(f"Files with repaired headers, in copies below {copies}: {n}.")
    click.echo(f"The report is in {looked.page}")
    return looked


def _fix(settings: Settings, looked: "LookedAt") -> bool:
    """Shows what is done about the findings; returns whether anything is."""
    report = checking.fix(settings, looked)
    for case, reason in report.fixes.curation.quarantine.items():
        click.echo(f"{case} is left out: {reason}")
    for repair in report.fixes.repairs:
        click.echo(f"{repair.file} gets the header of {repair.first.name} in a copy ({repair.distance_mm:.3g} mm).")
    if report.fixes.left:
        click.echo(f"For you to put right:\n{findings_text(report.fixes.left)}")
    if report.file is None:
        click.echo("There is nothing that --fix can do.")
        return False
    folder = looked.found.folder
    click.echo(f"This is noted in {report.file}; --undo takes it back. The files in {folder} stay as they are.\n")
    return True
