"""What an asset shows of the MLflow run that was brought up to date when it was made: a link, or what went wrong."""

import logging

import dagster as dg

from nnunet_assets.tracking.assets.asset_run import TrackedRun


def run_metadata(tracked: TrackedRun, log: logging.Logger) -> dict[str, dg.MetadataValue]:
    """Returns the link to the run; a tracking server that failed costs a warning, not the asset."""
    if tracked.problem:
        log.warning(tracked.problem)
        return {"mlflow_problem": dg.MetadataValue.text(tracked.problem)}
    if tracked.url:
        return {"mlflow_run": dg.MetadataValue.url(tracked.url)}
    return {"mlflow_run": dg.MetadataValue.text(tracked.run_id)} if tracked.run_id else {}
