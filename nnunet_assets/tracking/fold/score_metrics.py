"""The scores that MLflow shows of a fold that was validated again: the last ones, and none of the earlier."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.tracking.store import names

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

PREFIXES = (names.VAL_DICE, names.VAL_IOU)


def holds_scores(record: Record) -> bool:
    """Says whether a record is of a validation."""
    return record.kind == "end" and any(series.startswith(PREFIXES) for series in record.values)


def replacements(client: "MlflowClient", run_id: str, sent: Sequence["Metric"]) -> list["Metric"]:
    """Returns what has to be sent once more, so that the run shows the scores that were sent last.

    MLflow shows the value of the latest step and time, on whichever machine's clock, and the larger of two at one time;
    and what has no value now would go on showing the earlier one.

    Args:
        sent: Metrics of a validation; what is undefined is not among them.
    """
    from mlflow.entities import Metric

    wanted = {metric.key: metric.value for metric in sent if metric.key.startswith(PREFIXES)}
    shown: Mapping[str, float] = client.get_run(run_id).data.metrics
    wanted |= {key: math.nan for key in shown if key.startswith(PREFIXES) and key not in wanted}
    again = []
    for key, value in wanted.items():
        if _is_same(shown.get(key, math.nan), value):
            continue
        points = client.get_metric_history(run_id, key)
        step, time_ms = max(((point.step, point.timestamp) for point in points), default=(0, 0))
        again.append(Metric(key, value, time_ms + 1, step))
    return again


def _is_same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))
