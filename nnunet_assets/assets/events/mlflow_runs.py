"""MLflow runs that are brought up to date when an asset is made, seen from the asset: a link, or what went wrong."""

from collections.abc import Callable

import dagster as dg

from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment, is_local, run_url
from nnunet_assets.tracking.store.server_errors import explain


def tracked(
    settings: Settings,
    dataset: str,
    context: dg.AssetExecutionContext,
    log: Callable[..., str],
) -> dict[str, dg.MetadataValue]:
    """Returns the link to the run that was logged; a tracking server that fails costs a warning, not the asset.

    Args:
        settings: Which server, and where its pages are.
        dataset: Whose MLflow experiment the run goes to.
        context: Where the warning goes.
        log: Logs with the `MlflowClient`, at the place that `experiment_name` and `artifacts` say, and returns the id
            of the run.
    """
    experiment_name = settings.tracking_experiment(dataset)
    try:
        client = connect(settings.tracking_uri, settings.artifacts)
        experiment_id = get_or_create_experiment(client, experiment_name, settings.artifacts)
        run_id = log(client, experiment_name=experiment_name, artifacts=settings.artifacts)
    except Exception as error:  # noqa: BLE001 (whatever a tracking server may do, the asset stands)
        problem = explain(error, settings.tracking_uri).sentence
        context.log.warning(problem)
        return {"mlflow_problem": dg.MetadataValue.text(problem)}
    url = run_url(settings.tracking_ui, experiment_id, run_id)
    return {"mlflow_run": dg.MetadataValue.url(url) if url else dg.MetadataValue.text(run_id)}


def may_share_files(settings: Settings) -> bool:
    """Tells whether files, which name cases or show slices of them, may go to the tracking server.

    To a server on another machine only where the user has agreed.
    """
    return settings.share_files or is_local(settings.tracking_uri)
