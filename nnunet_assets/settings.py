"""The environment, read once and in one place."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.layout import Roots
from nnunet_assets.errors import ConfigError

PROJECT_VARIABLE = "NNUNET_ASSETS_PROJECT"


@dataclass(frozen=True)
class Settings:
    """Where a project keeps its things.

    Attributes:
        project: The user's project folder (experiments, workspace file, DAGSTER_HOME), absolute.
        roots: nnU-Net's three folders.
        tracking_uri: MLflow tracking URI.
        artifacts: Where MLflow's artifacts go when the tracking store is the project's own SQLite file.
        variables: The environment that the settings were read from; child processes inherit what they need of it.
    """

    project: Path
    roots: Roots
    tracking_uri: str
    artifacts: Path
    variables: Mapping[str, str]

    @classmethod
    def from_environment(cls, project: Path | None = None, environment: Mapping[str, str] | None = None) -> "Settings":
        """Reads the settings; what is not set lies in the project's `data` folder.

        Args:
            project: The project folder; None: `NNUNET_ASSETS_PROJECT`, else the current folder.
            environment: None: the process's own.

        Raises:
            ConfigError: A path is relative, or only some of nnU-Net's three variables are set.
        """
        variables = dict(os.environ if environment is None else environment)
        folder = Path(project or variables.get(PROJECT_VARIABLE) or Path.cwd()).resolve()
        data = folder / "data"
        return cls(
            project=folder,
            roots=_roots(variables, data),
            tracking_uri=variables.get("MLFLOW_TRACKING_URI") or f"sqlite:///{data / 'mlflow.db'}",
            artifacts=data / "mlartifacts",
            variables=variables,
        )

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance folder: inside the project, so that projects never share runs."""
        return self.project / ".dagster"

    def child_environment(self, roots: Roots) -> dict[str, str]:
        """Returns the environment of a child that runs nnU-Net: ours, with the roots that nnU-Net reads at import."""
        return {**self.variables, **roots.environment(), "PYTHONUNBUFFERED": "1"}


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


def python_command(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module of this package in a new interpreter of the same environment."""
    return [sys.executable, "-m", module, *arguments]
