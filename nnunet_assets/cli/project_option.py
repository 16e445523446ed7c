"""The option `--project` of every command that works in a project folder."""

from pathlib import Path

import click

from nnunet_assets.processes.variables import PROJECT_VARIABLE

project_option = click.option(
    "--project",
    envvar=PROJECT_VARIABLE,
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    help="Project folder, whose experiments, settings and nnU-Net folders are meant. "
    f"Default: {PROJECT_VARIABLE}, else the current folder.",
)
