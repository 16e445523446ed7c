"""How journal records become what MLflow takes in one call."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.core.text.redaction import masked
from nnunet_assets.tracking.store import names

MAX_METRICS_PER_BATCH = 1000
MAX_TEXTS_PER_BATCH = 100
MAX_BATCH_BYTES = 900_000
"""A server takes 1,000,000 in a request, with what stands around the texts."""


NOT_FINITE = ("nan", "inf", "-inf")
"""How a journal writes them where they are values, and not the lack of one."""


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    time_ms: int
    step: int


def groups(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yields records that may share a batch: a start alone, others together up to MLflow's limit of metrics.

    While a fold trains that is one epoch a batch; after an outage it is as many as fit.
    """
    group: list[Record] = []
    for record in records:
        together = [*group, record]
        is_full = sum(len(member.values) for member in together) > MAX_METRICS_PER_BATCH
        if group and (record.kind == "start" or group[0].kind == "start" or is_full):
            yield group
            group = []
        group = [*group, record]
    if group:
        yield group


def points(
    record: Record, step: int, name_of: Callable[[str], str] = names.metric_name
) -> tuple[list[Point], list[str]]:
    """Returns the values of an `epoch` or `end` record, and why the ones that are missing here cannot be metrics.

    An undefined value (None) is left out without a reason; `nan`, `inf` and `-inf` are what a script says itself.

    Args:
        record: Of the journal.
        step: Of the points.
        name_of: Makes a metric's name of a series.
    """
    reasons = names.unusable_series(record.values, name_of)
    found = []
    for series, value in record.values.items():
        if value is None or series in reasons:
            continue
        if value not in NOT_FINITE and (isinstance(value, bool) or not isinstance(value, int | float)):
            reasons[series] = f"{series!r} is {value!r}, which is not a number"
            continue
        found.append(Point(name_of(series), float(value), record.time_ms, step))
    return found, list(reasons.values())


def params_of(start: Record) -> dict[str, object]:
    """Returns a start record's parameters, nested, without secrets."""
    return dict(masked(start.values.get("params") or {}))


def tags_of(start: Record, name_of: Callable[[str], str] = names.escaped) -> dict[str, str]:
    """Returns a start record's own tags as MLflow takes them."""
    return {name_of(key): str(value) for key, value in masked(start.values.get("tags") or {}).items()}


def batches_of(texts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yields parameters or tags in batches that a server takes, by their number and by the bytes of their JSON."""
    batch: dict[str, str] = {}
    n_bytes = 0
    for key, text in texts.items():
        more = len(json.dumps({"key": key, "value": text}))
        if len(batch) == MAX_TEXTS_PER_BATCH or (batch and n_bytes + more > MAX_BATCH_BYTES):
            yield batch
            batch, n_bytes = {}, 0
        batch[key] = text
        n_bytes += more
    if batch:
        yield batch
