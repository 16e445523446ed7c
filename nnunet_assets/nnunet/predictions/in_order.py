"""Results of threads in the order in which they were asked for, each while the next few are made."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def in_order(
    futures: Iterable[Future[Result]], n_ahead: int, is_short: Callable[[], bool] = lambda: False
) -> Iterator[Result]:
    """Yields the result of each; another is asked for only when it is needed.

    Args:
        futures: Begun when they are taken from here.
        n_ahead: How many are begun beside the one that is waited for.
        is_short: Whether there is no room for one more: what is begun ends first.
    """
    waiting: deque[Future[Result]] = deque()
    for future in futures:
        waiting.append(future)
        while len(waiting) > n_ahead or (waiting and is_short()):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
