"""The ports of a project's pages, kept from one start to the next.

Dagster stores the links that an asset shows, to a run and to a report in MLflow, as they are when it is made. They open
on later days too where the pages come back on the ports that they had. On disk: `.dagster/ports.json` of the project.
"""

from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.json_file import readable_json, write_json_atomically

FILE = Path(".dagster/ports.json")


@dataclass(frozen=True)
class Ports:
    """Where the pages are.

    Attributes:
        dagster: Port of Dagster's web UI.
        mlflow: Port of MLflow's.
    """

    dagster: int = 3000
    mlflow: int = 5000


def chosen_ports(project: Path, dagster: int | None = None, mlflow: int | None = None) -> Ports:
    """Returns the ports to start on: those that are asked for, else those of the last time, else the usual ones."""
    kept, usual = readable_json(project / FILE), Ports()
    return Ports(
        dagster or _port(kept.get("dagster")) or usual.dagster, mlflow or _port(kept.get("mlflow")) or usual.mlflow
    )


def keep_ports(project: Path, ports: Ports) -> None:
    """Keeps ports for the next start."""
    write_json_atomically(project / FILE, vars(ports))


def _port(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**16 else None
