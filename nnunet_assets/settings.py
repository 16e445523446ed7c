"""The environment, and over it the `.env` of a project: nothing else reads them.

What is read is a frozen value, as both were at that moment. A command reads them when it begins and passes the value
on; the declarations read them for themselves, to find the plans. For the processes that Dagster starts it is Dagster
that reads the `.env`: there the environment has it all.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nnunet_assets.core.files.kept_ports import chosen_ports
from nnunet_assets.core.files.layout import EXPERIMENTS_FOLDER, Roots
from nnunet_assets.core.text.places import Places
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.child_environment import child_environment
from nnunet_assets.processes.variables import (
    CHECKPOINTS_VARIABLE,
    CHILD_VARIABLES_VARIABLE,
    FOLDERS,
    MLFLOW_UI_VARIABLE,
    NO,
    PROJECT_VARIABLE,
    SHARE_FILES_VARIABLE,
    TRACKS_FILES_VARIABLE,
    TRACKS_VARIABLE,
    TRUSTED_CODE_VARIABLE,
    YES,
    VariableProblem,
    listed,
    variable_problems,
    with_trainers,
)

ENV_FILE = ".env"


@dataclass(frozen=True)
class Settings:
    """Where a project keeps its things.

    Attributes:
        project: The user's project folder (experiments, workspace file, DAGSTER_HOME), absolute.
        roots: nnU-Net's three folders.
        tracking_uri: MLflow tracking URI.
        tracking_ui: Where a browser finds the runs: the tracking server, or the page that `dev` and `up` open.
        tracking_experiment: The MLflow experiment of all runs; None: each dataset has its own, of its name.
        artifacts: Where MLflow's artifacts go when the tracking store is the project's own SQLite file.
        share_files: Whether files (logs, plans, case tables) may go to a tracking server on another machine.
        tracks: Whether folds, summaries and the like get runs in MLflow.
        tracks_files: Whether files go along; metrics, parameters and tags do anyway.
        checkpoints_mb: The largest checkpoint that is uploaded to MLflow, in megabytes; 0: none is.
        trusted_code: What plans may name beside nnU-Net's own code.
        child_variables: What processes that run nnU-Net get of the environment beside what they need.
        variables: The environment that the settings were read from; child processes inherit what they need of it.
    """

    project: Path
    roots: Roots
    tracking_uri: str
    tracking_ui: str
    tracking_experiment: str | None
    artifacts: Path
    share_files: bool
    tracks: bool
    tracks_files: bool
    checkpoints_mb: float
    trusted_code: frozenset[str]
    child_variables: tuple[str, ...]
    variables: Mapping[str, str]

    @classmethod
    def from_environment(cls, project: Path | None = None, environment: Mapping[str, str] | None = None) -> "Settings":
        """Reads the settings; what is not set lies in the project's `data` folder.

        Args:
            project: The project folder; None: `NNUNET_ASSETS_PROJECT`, else the current folder.
            environment: None: the process's own.

        Raises:
            ConfigError: A variable has a value that its reader cannot use (all of these, one a line), or SQLite cannot
                be used in the project's folder.
        """
        variables = dict(os.environ if environment is None else environment)
        folder = Path(project or variables.get(PROJECT_VARIABLE) or Path.cwd()).resolve()
        _refuse_unusable(folder)
        if problems := wrong_variables(folder, variables):
            raise ConfigError("\n".join(map(str, problems)))
        data = folder / "data"
        tracking_uri = variables.get("MLFLOW_TRACKING_URI") or f"sqlite:///{data / 'mlflow.db'}"
        local_ui = variables.get(MLFLOW_UI_VARIABLE) or f"http://127.0.0.1:{chosen_ports(folder).mlflow}"
        return cls(
            project=folder,
            roots=_roots(variables, data),
            tracking_uri=tracking_uri,
            tracking_ui=tracking_uri if tracking_uri.startswith("http") else local_ui,
            tracking_experiment=variables.get("MLFLOW_EXPERIMENT_NAME") or None,
            artifacts=data / "mlartifacts",
            share_files=variables.get(SHARE_FILES_VARIABLE, "").lower() in YES,
            tracks=variables.get(TRACKS_VARIABLE, "").lower() not in NO,
            tracks_files=variables.get(TRACKS_FILES_VARIABLE, "").lower() not in NO,
            checkpoints_mb=float(variables.get(CHECKPOINTS_VARIABLE) or 0),
            trusted_code=trusted_code(variables),
            child_variables=listed(variables.get(CHILD_VARIABLES_VARIABLE, "")),
            variables=variables,
        )

    def child_environment(self, more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """Returns what a process that runs nnU-Net gets of the environment, or of it and `more`, and all trainers."""
        variables = child_environment({**self.variables, **more}, self.child_variables)
        return with_trainers(variables, project_trainers(self.project))

    def cluster_environment(self) -> dict[str, str]:
        """Returns what a cluster's own commands, or its driver, get: also how Ray is reached, its token included."""
        of_ray = {name: value for name, value in self.variables.items() if name.startswith("RAY_")}
        return {**self.child_environment(), **of_ray}

    @property
    def places(self) -> Places:
        """The folders whose place on the disk is in nothing that is made to be shown."""
        return Places.of(self.roots, self.project)

    @property
    def data(self) -> Path:
        """The project's data folder, in which lies what is no setting, and not nnU-Net's."""
        return self.artifacts.parent

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance folder: inside the project, so that projects never share runs."""
        return dagster_home(self.project)


def dagster_home(project: Path) -> Path:
    """Returns Dagster's instance folder of a project, absolute, whatever is wrong with its settings."""
    return project.resolve() / ".dagster"


def project_trainers(project: Path) -> Path:
    """Returns the folder in which a project's own trainers lie, which need not be there."""
    return project / "trainers"


def is_project(folder: Path) -> bool:
    """Says whether a folder is one that declares something, or is to."""
    return (folder / EXPERIMENTS_FOLDER).is_dir()


def project_around(folder: Path) -> Path | None:
    """Returns the project that a folder is or lies in; None: neither.

    Of the folders above only one counts that holds what `init` writes, too: `experiments` alone may be anybody's.
    """
    if is_project(folder):
        return folder
    marks = ("dg.toml", "workspace.yaml", ".dagster")
    above = (parent for parent in folder.parents if is_project(parent))
    return next((parent for parent in above if any((parent / mark).exists() for mark in marks)), None)


def project_settings(project: Path | None = None) -> Settings:
    """Returns the settings that Dagster's processes will have: the environment, and over it the project's `.env`.

    Args:
        project: As for `Settings.from_environment`.

    Raises:
        ConfigError: As `Settings.from_environment`.
    """
    folder = Path(project or os.environ.get(PROJECT_VARIABLE) or Path.cwd()).resolve()
    return Settings.from_environment(folder, project_variables(folder))


def project_variables(project: Path) -> dict[str, str]:
    """Returns the environment, and over it the project's `.env`, whatever the values are.

    Raises:
        ConfigError: As `_declared`.
    """
    return {**os.environ, **env_file_variables(project)}


def env_file_variables(project: Path) -> dict[str, str]:
    """Returns what the project's `.env` sets.

    Raises:
        ConfigError: As `_declared`.
    """
    return {name: value for name, (value, _) in _declared(project / ENV_FILE).items()}


@contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process for a while: for Dagster, which looks up there what `dagster.yaml` refers to."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def wrong_variables(project: Path, variables: Mapping[str, str]) -> list[VariableProblem]:
    """Returns what is wrong with the variables that nnU-Net and this package read, and where each comes from.

    Args:
        project: The project's folder, in whose `.env` a value may stand.
        variables: The environment, and over it what the project sets.
    """
    problems = [*variable_problems(variables), *_folders_apart(variables, project / "data")]
    return [
        VariableProblem(problem.name, f"{problem.sentence} {_origin(problem.name, project, variables)}", problem.remedy)
        for problem in problems
    ]


def _origin(name: str, project: Path, variables: Mapping[str, str]) -> str:
    # What Dagster starts finds the `.env` in its environment: equal values come from the file there too.
    file = project / ENV_FILE
    value, line = _declared(file).get(name, (None, 0))
    return f"It stands in {file}, line {line}." if value == variables[name] else "It comes from the shell."


def _declared(file: Path) -> dict[str, tuple[str, int]]:
    """Returns what a `.env` sets, as Dagster reads it, each with its line; nothing where there is no such file.

    Raises:
        ConfigError: A line sets nothing, which Dagster passes over, or the file is not UTF-8.
    """
    # Comes with Dagster, which reads the file in the same way.
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    if not file.is_file():
        return {}
    try:
        with file.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8.") from error
    lines = {}
    for binding in bindings:
        text = binding.original.string
        line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        if binding.error:
            raise ConfigError(
                f"{file}, line {line}, sets no variable: {text.strip()!r}. Write NAME=value, without spaces in the "
                "name, and close each quote; what follows # is a remark."
            )
        lines[binding.key] = line
    return {name: (value, lines[name]) for name, value in dotenv_values(file).items() if value is not None}


def trusted_code(environment: Mapping[str, str] | None = None) -> frozenset[str]:
    """Returns the names of code that plans may name beside nnU-Net's own, as the user lists them.

    Args:
        environment: None: the process's own; a child that runs nnU-Net gets it from its parent.
    """
    variables = os.environ if environment is None else environment
    return frozenset(filter(None, map(str.strip, variables.get(TRUSTED_CODE_VARIABLE, "").split(","))))


def _refuse_unusable(project: Path) -> None:
    # Dagster puts the path into the URIs of its databases as it is, and SQLAlchemy reads %20 as a space there, and what
    # follows a question mark as options. The databases would be made elsewhere, or not at all.
    if found := re.search(r"\?|%[0-9A-Fa-f]{2}", str(project)):
        raise ConfigError(
            f"The project's folder {project} has {found[0]!r} in its path, where Dagster cannot open its databases. "
            "Rename that folder, or take another one."
        )


def _folders_apart(variables: Mapping[str, str], data: Path) -> Iterator[VariableProblem]:
    """Yields what is wrong with nnU-Net's three folders together."""
    given = {name: variables[name] for name in FOLDERS if variables.get(name)}
    missing = [name for name in FOLDERS if name not in given]
    if given and missing:
        yield VariableProblem(
            next(iter(given)),
            f"{', '.join(missing)} not set, while {', '.join(given)} is.",
            f"Set all three of nnU-Net's variables, or none of them: then the project keeps its data in {data}.",
        )
    first_by_folder: dict[str, str] = {}
    for name, value in given.items():
        first = first_by_folder.setdefault(os.path.normpath(value), name)
        if first != name:
            sentence = f"{name} and {first} are both {value}."
            yield VariableProblem(name, sentence, "Give each a folder of its own: nnU-Net overwrites what is in them.")


def _roots(variables: Mapping[str, str], data: Path) -> Roots:
    raw, preprocessed, results = (Path(variables.get(name) or data / name) for name in FOLDERS)
    return Roots(raw=raw, preprocessed=preprocessed, results=results)
