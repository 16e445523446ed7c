"""The MLflow run that shows how an experiment does on the test set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.layout import Experiment
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking import names
from nnunet_assets.tracking.failures import explain
from nnunet_assets.tracking.summary_run import bring_up_to_date

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from nnunet_assets.core.gap import Gap


def log_test_set(
    client: "MlflowClient",
    experiment: Experiment,
    gaps: "Sequence[Gap]",
    *,
    experiment_name: str,
    artifacts: Path,
    folds: Sequence[str],
    files: Sequence[Path] = (),
    dagster_run_id: str | None = None,
) -> str:
    """Brings the one run of an experiment's test set up to date and returns its id; as `summary_run.log_summary`.

    A run of its own: the summary's forgets what its summary does not have.

    Args:
        folds: The folds of the ensemble.
        files: Uploaded in place of the earlier ones. Not for a server elsewhere, unless the user has agreed.

    Raises:
        TrackingError: MLflow does not answer or refuses something.
    """
    tags = {**names.experiment_tags(experiment, "test_set"), names.FOLDS: ",".join(folds)}
    if dagster_run_id:
        tags[names.DAGSTER_RUN_ID] = dagster_run_id
    try:
        return bring_up_to_date(
            client,
            known_by=(names.RUN_TYPE, names.EXPERIMENT),
            tags=tags,
            run_name=f"{names.run_title(experiment)} test set",
            metrics=gap_metrics(gaps),
            experiment_name=experiment_name,
            artifacts=artifacts,
            files=files,
        )
    except TrackingError:
        raise
    except Exception as error:
        raise TrackingError(
            f"The test set of {experiment.title} is not in MLflow. {explain(error, client.tracking_uri).sentence}"
        ) from error


def gap_metrics(gaps: "Sequence[Gap]") -> Mapping[str, float | None]:
    """Returns what MLflow shows of a test set: series to value; None is undefined."""
    metrics: dict[str, float | None] = {names.TEST_CASES: float(gaps[0].test.n)}
    for gap in gaps:
        interval = gap.test.interval
        values: dict[names.TestSetStatistic, float | None] = {
            "mean": gap.test.mean,
            "ci95_low": interval.low if interval else None,
            "ci95_high": interval.high if interval else None,
            "gap": gap.difference,
        }
        metrics |= {names.gap_series(gap.metric, statistic, gap.label): value for statistic, value in values.items()}
    return metrics
