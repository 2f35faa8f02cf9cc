"""Work on many items on several threads, with the results in order and few of them in memory at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .bands import threads_here

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield ``work(item)`` for each item, in the order of the items.

    Sums over the results are therefore the same for any number of threads. At most two results more than threads exist
    at a time.

    Parameters
    ----------
    work
        Must not hold Python's lock for long, or the threads wait for each other.
    items
        What to work on.
    """
    threads = threads_here()
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
