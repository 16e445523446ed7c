"""`init`: a project folder with an example that works at once."""

import shlex
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.layout import EXPERIMENTS_FOLDER
from nnunet_assets.errors import ConfigError, first_offenders
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.env_file import dotenv_quoted
from nnunet_assets.project_folder.instance_state import pool_limit
from nnunet_assets.project_folder.network_drives import network_sentences
from nnunet_assets.settings import Settings, is_project

EXAMPLE = f"{EXPERIMENTS_FOLDER}/example/defs.yaml"

# In the order of writing: a project with an example is whole.
_FILES = {
    "dg.toml": "dg.toml",
    ".env": "env",
    ".gitignore": "gitignore",
    "workspace.yaml": "workspace.yaml",
    EXAMPLE: "defs.yaml",
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--postgres",
    is_flag=True,
    help="Keep what Dagster and MLflow record in PostgreSQL, also of a project that is there. The URLs are taken from "
    "DAGSTER_POSTGRES_URL and MLFLOW_TRACKING_URI, or asked for.",
)
def init(folder: Path, postgres: bool) -> None:
    """Make a project in FOLDER: an example experiment, and the files by which Dagster finds it.

    Nothing that is there is overwritten. An interrupted init is simply repeated.
    """
    if postgres:
        from nnunet_assets.cli.project.init_postgres import put_on_postgres

        root = folder.resolve()
        is_there = is_project(root)
        if not is_there:
            init_project(root, begins=put_on_postgres)
        else:
            put_on_postgres(root)
            ensure_instance(root)
            return
    else:
        root = init_project(folder)
    there = shlex.quote(str(folder))
    for sentence in network_sentences(Settings.from_environment(root)):
        click.echo(sentence, err=True)
    click.echo(f"""\
Made a project in {root}; folds that train at once: {pool_limit(root)}.

  cd {there}
  nnunet-assets check-config    # what {EXAMPLE} declares
  nnunet-assets demo            # the example, from data to table, in this terminal
  nnunet-assets dev             # Dagster and MLflow in the browser; plain `dagster dev` works here too

For data of your own: nnunet-assets import-dataset --help. If something does not work: nnunet-assets doctor.""")


def init_project(folder: Path, begins: Callable[[Path], None] = lambda _: None) -> Path:
    """Makes a project and returns its absolute folder; repeated on a fresh project it changes nothing.

    Args:
        folder: The project's.
        begins: What is done when its files are there, and Dagster's instance is not.

    Raises:
        ConfigError: The folder holds a project, or files of the same names, or cannot be written.
    """
    root = folder.resolve()
    contents = {name: _content(template, root) for name, template in _FILES.items()}
    _refuse_clashes(root, contents)
    try:
        for name, content in contents.items():
            if not (root / name).exists():
                write_atomically(root / name, content.encode(), is_private=name == ".env")
        begins(root)
        ensure_instance(root)
    except OSError as error:
        raise ConfigError(f"The project cannot be written to {root}: {error.strerror}.") from error
    return root


def _content(template: str, root: Path) -> str:
    text = files("nnunet_assets.cli.project").joinpath("templates", template).read_text(encoding="utf-8")
    if template != "env":
        return text
    dagster_home = Settings.from_environment(root).dagster_home
    return Template(text).substitute(project=dotenv_quoted(root), dagster_home=dotenv_quoted(dagster_home))


def _refuse_clashes(root: Path, contents: Mapping[str, str]) -> None:
    """Refuses a folder with anything of a project that is not exactly what would be written there."""
    experiments = root / EXPERIMENTS_FOLDER
    ours = {root / EXAMPLE, (root / EXAMPLE).parent}
    clashes = [path for path in sorted(experiments.rglob("*")) if path not in ours]
    for name, content in contents.items():
        path = root / name
        # A user's .gitignore stays as it is; it may well be older than the project.
        # What is no file, such as a pipe, is in the way, and is not read: nobody may ever write into it.
        is_another = path.exists() and not (path.is_file() and path.read_bytes() == content.encode())
        if is_another and name != ".gitignore":
            clashes.append(path)
    if clashes:
        names = first_offenders([path.relative_to(root) for path in clashes])
        raise ConfigError(
            f"{root} holds a project already, or files in the way of one: {names}. Nothing was written. Name another "
            "folder, or work on with what is there."
        )
