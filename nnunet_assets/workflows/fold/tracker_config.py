"""Where a script's own trainings are tracked, and whether: the settings in the words of nnunet-tracker."""

from dataclasses import dataclass, replace

from nnunet_assets.settings import project_settings
from nnunet_assets.tracking.store.destination import Destination


@dataclass(frozen=True)
class TrackerConfig:
    """Where a script's own trainings are tracked, and whether.

    Attributes:
        tracking_uri: MLflow's server or store.
        experiment_name: The MLflow experiment of all runs; None: each dataset has its own, of its name.
        enabled: Whether anything is tracked.
        log_artifacts: Whether files go along; metrics, parameters and tags do anyway.
    """

    tracking_uri: str
    experiment_name: str | None = None
    enabled: bool = True
    log_artifacts: bool = True

    @classmethod
    def from_env(cls) -> "TrackerConfig":
        """Returns what the environment says, and over it the project's `.env`.

        `MLFLOW_TRACKING_URI`, else the project's own store; `MLFLOW_EXPERIMENT_NAME`; `NNUNET_TRACKER_ENABLED` and
        `NNUNET_TRACKER_LOG_ARTIFACTS`, both on unless they say no.

        Raises:
            ConfigError: A variable has a value that its reader cannot use.
        """
        settings = project_settings()
        return cls(settings.tracking_uri, settings.tracking_experiment, settings.tracks, settings.tracks_files)

    def destination(self) -> Destination:
        """Returns where the runs go, with what the settings say beside it."""
        there = Destination.of(project_settings(), self.tracking_uri)
        named = replace(there, experiment=self.experiment_name)
        return replace(named, is_on=self.enabled, sends_files=self.log_artifacts)
