"""Runs of a script's own in MLflow, beside those of folds."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nnunet_assets.api.given import settings_of
from nnunet_assets.tracking.own_runs.tracker import Tracker as _Tracker
from nnunet_assets.tracking.store.destination import Destination


class Tracker(_Tracker):
    """Logs to MLflow from a script, a trainer or an asset of one's own, and never blocks nor breaks it.

    What is logged lies on this disk at once, and a thread sends it. A server that is down costs nothing but delay: what
    it has not taken when the script ends is sent by `nnunet-assets sync`. No method raises; what goes wrong is a
    warning in Python's logging, and is in `problems`.

    What is logged goes to the innermost run that is open; where none is, one is begun. Used as a context manager it
    ends every open run: FINISHED, FAILED by an exception or an exit with a code, KILLED by an interruption. So does the
    end of the process.

    Args:
        tracking_uri: MLflow's server or store; None: `MLFLOW_TRACKING_URI`, else the project's own store.
        experiment: The MLflow experiment; None: `MLFLOW_EXPERIMENT_NAME`, else the name of the project's folder.
        run_name: Of runs that are not nested; None: `run` and some digits.
        tags: Of every run.
        share_files: Whether files go to a server on another machine; None: as `NNUNET_ASSETS_SHARE_FILES` says.
        enabled: Whether anything is tracked; None: as `NNUNET_TRACKER_ENABLED` says.
        project: Whose settings, and on whose disk what waits lies.

    Raises:
        ConfigError: A variable has a value that its reader cannot use.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        run_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        share_files: bool | None = None,
        enabled: bool | None = None,
        project: Path | str | None = None,
    ) -> None:
        settings = settings_of(project)
        there = Destination.of(settings, tracking_uri)
        there = replace(
            there,
            experiment=experiment or there.experiment,
            share_files=there.share_files if share_files is None else share_files,
            is_on=there.is_on if enabled is None else enabled,
        )
        super().__init__(there, settings.data, experiment or settings.project.name, run_name, tags)


def get_run_url(run_id: str, *, tracking_uri: str | None = None, project: Path | str | None = None) -> str | None:
    """Returns the link to a run's page; None where no server shows it.

    Args:
        run_id: MLflow's.
        tracking_uri: Another server or store than the project's own.
        project: Whose MLflow.

    Raises:
        TrackingError: MLflow does not answer, or has no such run.
    """
    from nnunet_assets.tracking.store.client import connect_to_read
    from nnunet_assets.tracking.store.server_errors import explained

    there = Destination.of(settings_of(project), tracking_uri)
    client = connect_to_read(there)
    with explained(there.tracking_uri):
        return there.run_url(client.get_run(run_id).info.experiment_id, run_id)
