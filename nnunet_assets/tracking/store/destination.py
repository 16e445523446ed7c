"""The one value that says where tracking goes, and what of it may leave this machine."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from nnunet_assets.core.text.postgres_url import is_postgres, read_postgres_url
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.pseudonyms import Pseudonyms
from nnunet_assets.tracking.store.run_words import RunWords
from nnunet_assets.tracking.store.server_errors import scheme


@dataclass(frozen=True)
class Destination:
    """Where runs go.

    Attributes:
        tracking_uri: http(s), or a database URI such as `sqlite:////ABSOLUTE/mlflow.db`.
        artifacts: Where the artifacts go when the store is a database opened from here; made if missing. A server
            places them itself.
        share_files: Whether files (logs, splits, figures) may go to a server that is not on this machine. Metrics,
            parameters and tags always go, there without case ids, paths and the host's name.
        preprocessed: nnU-Net's preprocessed folder, whose splits say what a case id is; None: none is known.
        ui: Where a browser finds the runs; None: at `tracking_uri`.
        experiment: The MLflow experiment of all runs; None: each dataset has its own, of its name.
        is_on: Whether folds, summaries and the like get runs there.
        sends_files: Whether files go along, wherever it is.
        words: What users say of their runs.
    """

    tracking_uri: str
    artifacts: Path
    share_files: bool = False
    preprocessed: Path | None = None
    ui: str | None = None
    experiment: str | None = None
    is_on: bool = True
    sends_files: bool = True
    words: RunWords = field(default_factory=RunWords)

    @classmethod
    def of(cls, settings: Settings, tracking_uri: str | None = None) -> "Destination":
        """Returns where a project's runs go.

        Args:
            settings: The project's.
            tracking_uri: Another server or store, as the user names it; None: the project's own.
        """
        is_own = tracking_uri in (None, "", settings.tracking_uri)
        return cls(
            tracking_uri or settings.tracking_uri,
            settings.artifacts,
            settings.share_files,
            settings.roots.preprocessed,
            settings.tracking_ui if is_own else None,
            settings.tracking_experiment,
            settings.tracks,
            settings.tracks_files,
        )

    def declared(self, experiment: ExperimentConfig | EnsembleConfig) -> "Destination":
        """Returns where the runs of an experiment go, and what its declaration says of them."""
        tracking = experiment.tracking if isinstance(experiment, ExperimentConfig) else None
        if tracking is None:
            return self
        return replace(
            self.switched(runs=tracking.enabled, files=tracking.files),
            words=RunWords(tracking.run_name, tracking.tags, tracking.notes),
        )

    def switched(self, *, runs: bool | None = None, files: bool | None = None) -> "Destination":
        """Returns it without runs, or without files, where that is said; what is off already stays off."""
        is_on, sends_files = self.is_on and runs is not False, self.sends_files and files is not False
        return replace(self, is_on=is_on, sends_files=sends_files)

    @property
    def takes_files(self) -> bool:
        """Whether files go there, which name cases or show slices of them."""
        return self.sends_files and (self.share_files or is_local(self.tracking_uri))

    def pseudonyms(self, dataset: str | None) -> Pseudonyms | None:
        """Returns what hides the cases of a dataset, paths and hosts; None where nothing leaves this machine."""
        if is_local(self.tracking_uri):
            return None
        return Pseudonyms(self.artifacts, self.preprocessed / dataset if self.preprocessed and dataset else None)

    def experiment_of(self, dataset: str) -> str:
        """Returns the MLflow experiment that a dataset's runs go to."""
        return self.experiment or dataset

    def run_url(self, experiment_id: str, run_id: str) -> str | None:
        """Returns the link to a run's page; None where nothing serves it."""
        return run_url(self.ui or self.tracking_uri, experiment_id, run_id)


def is_local(tracking_uri: str) -> bool:
    """Tells whether what is sent there stays on this machine: a file, a socket, or a host that is the loopback."""
    host = urlsplit(tracking_uri).hostname or ""
    if is_postgres(tracking_uri):
        with suppress(ConfigError):
            host = read_postgres_url(tracking_uri, "MLFLOW_TRACKING_URI").host
        if not host or host.startswith("/"):
            return True
    if scheme(tracking_uri) == "sqlite" or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: 127.example.org is somebody else's
        return False


def run_url(tracking_uri: str, experiment_id: str, run_id: str) -> str | None:
    """Returns the link to a run in MLflow's web pages; None where the store is a database without a server."""
    if scheme(tracking_uri) not in ("http", "https"):
        return None
    parts = urlsplit(tracking_uri)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return f"{host}/#/experiments/{experiment_id}/runs/{run_id}"
