import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.tracking.runs.batches import MAX_BATCH_BYTES, MAX_TEXTS_PER_BATCH, batches_of, points

TEXTS = st.dictionaries(
    st.text(max_size=20), st.sampled_from(["", "a", "ü" * 5000, "x" * 6000, "中" * 6000]), max_size=400
)


@given(TEXTS)
def test_texts_are_sent_once_in_batches_that_a_server_takes(texts: dict[str, str]) -> None:
    batches = list(batches_of(texts))
    assert [item for batch in batches for item in batch.items()] == list(texts.items())
    assert all(0 < len(batch) <= MAX_TEXTS_PER_BATCH for batch in batches)
    sizes = [len(json.dumps([{"key": key, "value": text} for key, text in batch.items()])) for batch in batches]
    assert all(size < 1_000_000 for size in sizes)
    # None of them could be one with the next.
    for left, right in pairwise(batches):
        first = dict(list(right.items())[:1])
        together = json.dumps([{"key": key, "value": text} for key, text in {**left, **first}.items()])
        assert len(left) == MAX_TEXTS_PER_BATCH or len(together) > MAX_BATCH_BYTES


def test_a_value_that_is_missing_is_none_and_one_that_is_not_finite_is_one() -> None:
    record = Record("epoch", 5, 0, {"a": None, "b": "nan", "c": "-inf", "d": 1, "e": "1", "f": True})
    found, reasons = points(record, 3)
    assert [(point.name, str(point.value), point.time_ms, point.step) for point in found] == [
        ("b", "nan", 5, 3),
        ("c", "-inf", 5, 3),
        ("d", "1.0", 5, 3),
    ]
    assert reasons == ["'e' is '1', which is not a number", "'f' is True, which is not a number"]
