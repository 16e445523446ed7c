"""Results in the order in which they were asked for."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from nnunet_assets.nnunet.predictions.in_order import in_order


def test_results_come_in_order_though_later_ones_are_ready_first() -> None:
    def work(number: int) -> int:
        time.sleep(random.Random(number).uniform(0, 0.005))
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(in_order((pool.submit(work, number) for number in range(20)), 3)) == list(range(20))


@pytest.mark.parametrize(("n_ahead", "is_short", "n_begun"), [(0, False, 1), (2, False, 3), (2, True, 1)])
def test_no_more_are_begun_than_there_is_room_for(n_ahead: int, n_begun: int, *, is_short: bool) -> None:
    begun = []

    def futures() -> Iterator[Future[int]]:
        for number in range(5):
            begun.append(number)
            future: Future[int] = Future()
            future.set_result(number)
            yield future

    results = in_order(futures(), n_ahead, lambda: is_short)
    assert (begun, next(results), len(begun)) == ([*range(n_begun)], 0, n_begun)
    assert list(results) == [1, 2, 3, 4]


def test_what_goes_wrong_is_raised_where_its_result_would_come() -> None:
    def work(number: int) -> int:
        if number == 1:
            raise RuntimeError("no memory")
        return number

    with ThreadPoolExecutor(2) as pool:
        results = in_order((pool.submit(work, number) for number in range(3)), 2)
        assert next(results) == 0
        with pytest.raises(RuntimeError, match="no memory"):
            next(results)
