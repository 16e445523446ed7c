"""The MLflow run that shows the comparison of a dataset's experiments."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.tracking.assets.asset_run import add_files, bring_up_to_date
from nnunet_assets.tracking.store import names

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KNOWN_BY = (names.RUN_TYPE, names.DATASET)


def log_comparison(
    client: "MlflowClient",
    dataset: str,
    *,
    n_experiments: int,
    n_cases: int,
    experiment_name: str,
    artifacts: Path,
    files: Sequence[Path],
    dagster_run_id: str,
) -> str:
    """Brings the one comparison run of a dataset up to date and returns its id; see `asset_run.bring_up_to_date`.

    Args:
        n_experiments: That are compared; 0 or 1: there is nothing to compare.
        n_cases: That all of them have.
    """
    return bring_up_to_date(
        client,
        subject=f"The comparison of {dataset}",
        known_by=_KNOWN_BY,
        tags=_tags(dataset),
        run_name=_run_name(dataset),
        metrics={names.EXPERIMENTS_COMPARED: n_experiments, names.CASES: n_cases},
        experiment_name=experiment_name,
        artifacts=artifacts,
        files=files,
        dagster_run_id=dagster_run_id,
    )


def add_to_comparison(
    client: "MlflowClient", dataset: str, files: Sequence[Path], *, experiment_name: str, artifacts: Path
) -> str:
    """Uploads files to the comparison run of a dataset, in place of earlier ones of their names, and returns its id."""
    return add_files(
        client,
        files,
        known_by=_KNOWN_BY,
        tags=_tags(dataset),
        run_name=_run_name(dataset),
        experiment_name=experiment_name,
        artifacts=artifacts,
    )


def _tags(dataset: str) -> dict[str, str]:
    return {names.RUN_TYPE: "comparison", names.DATASET: dataset}


def _run_name(dataset: str) -> str:
    return f"{dataset} comparison"
