"""Spread work over bands of rows and threads: for compiled kernels, which do not hold Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

SMALLEST = 16
"""Rows below which a band is not worth a thread."""


def threads_here() -> int:
    """Return how many threads a filter may use: ``OMP_NUM_THREADS`` where it is set, else one per processor."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_bands(work: Callable[[int, int], object], rows: int, *, bands: int | None = None) -> None:
    """Call ``work(start, stop)`` for bands that cover ``range(rows)``, on several threads.

    Parameters
    ----------
    work
        Writes the rows from start to stop of its result; it must not depend on the bands that other calls are given.
    rows
        How many rows there are.
    bands
        How many bands; by default four per thread, so that an uneven load still ends together.
    """
    threads = threads_here()
    count = max(1, min(bands or 4 * threads, rows // SMALLEST))
    if threads == 1 or count == 1:
        work(0, rows)
        return
    edges = [rows * band // count for band in range(count + 1)]
    with ThreadPoolExecutor(min(threads, count)) as pool:
        for done in [pool.submit(work, start, stop) for start, stop in pairwise(edges)]:
            done.result()
