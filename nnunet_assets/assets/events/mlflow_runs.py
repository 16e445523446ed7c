"""What an asset shows of the MLflow run that was brought up to date when it was made: a link, or what went wrong."""

import logging
from pathlib import Path

import dagster as dg

from nnunet_assets.tracking.assets.asset_run import TrackedRun


def report_metadata(page: Path, tracked: TrackedRun, *, is_there: bool = True) -> dict[str, dg.MetadataValue]:
    """Returns where an HTML page lies, and a link by which MLflow shows it: from a served page no link opens a file.

    Args:
        page: On this machine.
        tracked: The run that has the page among its artifacts.
        is_there: Whether it took files at all.
    """
    link = {"report": dg.MetadataValue.url(f"{tracked.url}/artifacts/{page.name}")} if tracked.url and is_there else {}
    return {**link, "page": dg.MetadataValue.path(page)}


def run_metadata(tracked: TrackedRun, log: logging.Logger) -> dict[str, dg.MetadataValue]:
    """Returns the link to the run; a tracking server that failed costs a warning, not the asset."""
    shown: dict[str, dg.MetadataValue] = {}
    if tracked.problem:
        log.warning(tracked.problem)
        shown["mlflow_problem"] = dg.MetadataValue.text(tracked.problem)
    if tracked.url:
        return {**shown, "mlflow_run": dg.MetadataValue.url(tracked.url)}
    return {**shown, "mlflow_run": dg.MetadataValue.text(tracked.run_id)} if tracked.run_id else shown
