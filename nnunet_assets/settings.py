"""The environment, and over it the `.env` of a project: nothing else reads them.

What is read is a frozen value, as both were at that moment. A command reads them when it begins and passes the value
on; the declarations read them for themselves, to find the plans. For the processes that Dagster starts it is Dagster
that reads the `.env`: there the environment has it all.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.text.places import Places
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.child_environment import child_environment, is_pattern

PROJECT_VARIABLE = "NNUNET_ASSETS_PROJECT"
MLFLOW_UI_VARIABLE = "NNUNET_ASSETS_MLFLOW_UI"
SHARE_FILES_VARIABLE = "NNUNET_ASSETS_SHARE_FILES"
CHECKPOINTS_VARIABLE = "NNUNET_ASSETS_TRACK_CHECKPOINTS_MB"
CHILD_VARIABLES_VARIABLE = "NNUNET_ASSETS_CHILD_VARIABLES"
TRUSTED_CODE_VARIABLE = "NNUNET_ASSETS_TRUSTED_CODE"


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
            ConfigError: A path is relative, only some of nnU-Net's three variables are set, or a number or a name is
                none; or SQLite cannot be used in the project's folder.
        """
        variables = dict(os.environ if environment is None else environment)
        folder = Path(project or variables.get(PROJECT_VARIABLE) or Path.cwd()).resolve()
        _refuse_unusable(folder)
        data = folder / "data"
        tracking_uri = variables.get("MLFLOW_TRACKING_URI") or f"sqlite:///{data / 'mlflow.db'}"
        local_ui = variables.get(MLFLOW_UI_VARIABLE) or "http://127.0.0.1:5000"
        return cls(
            project=folder,
            roots=_roots(variables, data),
            tracking_uri=tracking_uri,
            tracking_ui=tracking_uri if tracking_uri.startswith("http") else local_ui,
            tracking_experiment=variables.get("MLFLOW_EXPERIMENT_NAME") or None,
            artifacts=data / "mlartifacts",
            share_files=variables.get(SHARE_FILES_VARIABLE, "").lower() in ("1", "true", "yes"),
            checkpoints_mb=_megabytes(CHECKPOINTS_VARIABLE, variables),
            trusted_code=trusted_code(variables),
            child_variables=_child_variables(variables),
            variables=variables,
        )

    def child_environment(self, more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """Returns what a process that runs nnU-Net gets of the environment, or of it and `more`."""
        return child_environment({**self.variables, **more}, self.child_variables)

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
        return self.project / ".dagster"


def project_settings(project: Path | None = None) -> Settings:
    """Returns the settings that Dagster's processes will have: the environment, and over it the project's `.env`.

    Args:
        project: As for `Settings.from_environment`.

    Raises:
        ConfigError: As `Settings.from_environment`.
    """
    # Comes with Dagster, which reads the file in the same way.
    from dotenv import dotenv_values

    settings = Settings.from_environment(project)
    declared = dotenv_values(settings.project / ".env")
    variables = {**settings.variables, **{name: value for name, value in declared.items() if value is not None}}
    return Settings.from_environment(settings.project, variables)


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


def _child_variables(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Returns what the user lets through to the processes that run nnU-Net."""
    names = tuple(filter(None, map(str.strip, variables.get(CHILD_VARIABLES_VARIABLE, "").split(","))))
    if wrong := [name for name in names if not is_pattern(name)]:
        raise ConfigError(
            f"{CHILD_VARIABLES_VARIABLE} names {wrong[0]!r}, which is no name of a variable. Set it to names, with "
            "commas between them; MY_* stands for every name that begins with MY_."
        )
    return names


def _megabytes(name: str, variables: Mapping[str, str]) -> float:
    text = variables.get(name) or "0"
    try:
        size = float(text)
    except ValueError:
        size = -1.0
    if not 0 <= size < math.inf:
        raise ConfigError(f"{name} is {text!r}. Set it to a number of megabytes, such as 500, or 0 for none.")
    return size


def _roots(variables: Mapping[str, str], data: Path) -> Roots:
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    given = {name: variables[name] for name in names if variables.get(name)}
    missing = [name for name in names if name not in given]
    if given and missing:
        raise ConfigError(
            f"{', '.join(missing)} not set, while {', '.join(given)} is. Set all three of nnU-Net's variables, or none "
            f"of them: then the project keeps its data in {data}."
        )
    for name, value in given.items():
        if not Path(value).is_absolute():
            raise ConfigError(f"{name} is {value!r}, which is not an absolute path (a ~ is not expanded).")
    raw, preprocessed, results = (Path(given.get(name, data / name)) for name in names)
    return Roots(raw=raw, preprocessed=preprocessed, results=results)
