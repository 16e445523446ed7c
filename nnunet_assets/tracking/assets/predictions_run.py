"""The MLflow run that shows how an experiment does on the test set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.store import names

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from nnunet_assets.core.evaluation.gap import Gap


def log_test_set(
    client: "MlflowClient",
    experiment: Experiment,
    gaps: "Sequence[Gap]",
    *,
    experiment_name: str,
    artifacts: Path,
    folds: Sequence[str],
    files: Sequence[Path],
    dagster_run_id: str,
) -> str:
    """Brings the one run of an experiment's test set up to date and returns its id; see `asset_run.bring_up_to_date`.

    A run of its own: the summary's forgets what its summary does not have.

    Args:
        folds: The folds of the ensemble.
    """
    return bring_up_to_date(
        client,
        subject=f"The test set of {experiment.title}",
        known_by=(names.RUN_TYPE, names.EXPERIMENT),
        tags={**names.experiment_tags(experiment, "test_set"), names.FOLDS: ",".join(folds)},
        run_name=f"{names.run_title(experiment)} test set",
        metrics=gap_metrics(gaps),
        experiment_name=experiment_name,
        artifacts=artifacts,
        files=files,
        dagster_run_id=dagster_run_id,
    )


def gap_metrics(gaps: "Sequence[Gap]") -> Mapping[str, float | None]:
    """Returns what MLflow shows of a test set: series to value; None is undefined."""
    metrics: dict[str, float | None] = {names.TEST_CASES: float(gaps[0].test.n)}
    for gap in gaps:
        interval = gap.test.interval
        values: dict[names.GapStatistic, float | None] = {
            "mean": gap.test.mean,
            "ci95_low": interval.low if interval else None,
            "ci95_high": interval.high if interval else None,
            "gap": gap.difference,
        }
        metrics |= {names.gap_series(gap.metric, statistic, gap.label): value for statistic, value in values.items()}
    return metrics
