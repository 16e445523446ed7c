"""`nnunet-assets import-dataset`: brings a dataset in an older form into nnUNet_raw."""

import time
from pathlib import Path
from typing import cast

import click

from nnunet_assets.cli.project_settings import project_settings
from nnunet_assets.nnunet.import_dataset import Link
from nnunet_assets.nnunet.import_dataset import import_dataset as run_import
from nnunet_assets.settings import PROJECT_VARIABLE

_QUIET_SECONDS = 2.0
"""An import that is done by then shows no progress bar."""


@click.command("import-dataset")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the new dataset, such as Dataset004_Hippocampus. Default: from SOURCE's name.")
@click.option("--id", "dataset_id", type=int, help="Id of the new dataset, from 0 to 999. Default: from SOURCE's name.")
@click.option(
    "--link",
    type=click.Choice(["copy", "hardlink", "symlink"]),
    default="copy",
    show_default=True,
    help="How images that need no conversion get into nnUNet_raw.",
)
@click.option(
    "--project",
    envvar=PROJECT_VARIABLE,
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    help="Project folder, whose nnUNet_raw is meant. Default: NNUNET_ASSETS_PROJECT, else the current folder.",
)
def import_dataset(source: Path, name: str | None, dataset_id: int | None, link: str, project: Path) -> None:
    """Bring the dataset in SOURCE into nnUNet_raw.

    SOURCE is an unpacked folder of the Medical Segmentation Decathlon (such as Task04_Hippocampus) or an nnU-Net v1
    task. It is not changed. What is written is a dataset of nnU-Net v2: dataset.json with channel_names, labels by
    name, one file a channel.
    """
    raw_root = project_settings(project).roots.raw
    how = cast("Link", link)
    progress = _LateProgress()
    try:
        imported = run_import(
            source, raw_root, dataset=name, dataset_id=dataset_id, link=how, on_progress=progress.update
        )
    finally:
        progress.close()
    click.echo(f"{imported.name}: {imported.n_training} training and {imported.n_test} test cases in {imported.folder}")
    for change in imported.changes:
        click.echo(f"  {change}")


class _LateProgress:
    """A progress bar in the terminal that appears only where there is something to wait for."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._shown_from = time.monotonic() + _QUIET_SECONDS
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._is_shown = False
        self._task = self._bar.add_task("Importing", total=None)

    def update(self, n_done: int, n_files: int) -> None:
        self._bar.update(self._task, completed=n_done, total=n_files)
        if self._console.is_terminal and not self._is_shown and time.monotonic() >= self._shown_from:
            self._bar.start()
            self._is_shown = True

    def close(self) -> None:
        if self._is_shown:
            self._bar.stop()
