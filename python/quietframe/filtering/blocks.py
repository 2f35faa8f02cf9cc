"""Run a filter over planes and volumes that are too large for memory, in blocks that overlap by the filter's own halo.

The blocks are dask's (``map_overlap``), one after the other: a filter uses all processors by itself. In memory are a
block, its neighbours' borders, and what the filter needs for one block.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, OptionError
from .run import Filter, plain_pixels, run_filter

BlockSize = int | Literal["auto"]

WHOLE_PX = 2**26
"""Pixels up to which a plane or volume is filtered as a whole, where nobody says otherwise."""

BLOCK_PX = 2**24
"""Pixels of a block, where nobody says otherwise."""

WORKING_BYTES = 40
"""Memory that a filter of whole planes takes for each pixel [bytes], about: input, result, and a few steps between."""

Chunks = tuple[tuple[int, ...], ...]


def plan_blocks(shape: Sequence[int], job: Filter, block: BlockSize) -> Chunks | None:
    """Cut a plane or volume into blocks.

    Parameters
    ----------
    shape
        Axes of the filter.
    job
        The filter.
    block
        Largest side of a block [px]; 0 for the whole; auto cuts what has more than `WHOLE_PX` pixels.

    Returns
    -------
    tuple of tuples, or None
        Sizes of the blocks along each axis; None to filter the whole.

    Raises
    ------
    OptionError
        When the filter needs the whole picture and the machine's memory is too small for that.
    """
    if block == 0 or (block == "auto" and math.prod(shape) <= WHOLE_PX):
        return None
    far = job.halo
    if far is None:
        _check_memory(shape, job)
        return None
    side = round(BLOCK_PX ** (1 / len(shape))) if block == "auto" else block
    step = job.step
    chunks = tuple(_cut(size, side, reach, step) for size, reach in zip(shape, aligned(far, step), strict=True))
    return chunks if any(len(sizes) > 1 for sizes in chunks) else None


def aligned(far: Sequence[int], step: int) -> tuple[int, ...]:
    """Return the reach along each axis, up to the next multiple of a step."""
    return tuple(math.ceil(reach / step) * step for reach in far)


def _cut(length: int, side: int, reach: int, step: int = 1) -> tuple[int, ...]:
    """Cut a length into equal parts of about `side`, the last one smaller, none below the reach of the filter."""
    count = max(1, math.ceil(length / max(side, reach, 1)))
    while count > 1 and length - (count - 1) * math.ceil(length / count / step) * step < max(reach, 1):
        count -= 1
    size = math.ceil(length / count / step) * step if count > 1 else length
    return (*[size] * (count - 1), length - (count - 1) * size)


def _check_memory(shape: Sequence[int], job: Filter) -> None:
    """Refuse what a filter that needs the whole picture could not hold."""
    needed, there = math.prod(shape) * WORKING_BYTES, memory_bytes()
    if needed > there:
        size = " x ".join(map(str, shape))
        raise OptionError(
            f"{job.name.replace('_', '-')} looks at the whole picture at once: {size} px need about "
            f"{needed / 2**30:.0f} GiB of memory, this machine has {there / 2**30:.0f}; filter a part of it, or "
            "take a filter that looks at a window"
        )


def memory_bytes() -> float:
    """Return the memory of this machine; infinite where it cannot be asked."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf


@dataclass(frozen=True)
class Source:
    """An array that is read part by part, as dask asks for it.

    Parameters
    ----------
    shape, dtype
        Of the array.
    read
        Returns a part, given one slice per axis.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[tuple[slice, ...]], NDArray[Any]]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, place: tuple[slice, ...]) -> NDArray[Any]:
        return self.read(place)


def require_dask() -> None:
    """Say early that blocks need dask.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    try:
        import dask.array  # noqa: F401
    except ImportError:
        raise MissingExtraError("filtering in blocks", "dask", "scale") from None


def filter_blocks(
    source: Source, target: Any, job: Filter, chunks: Chunks, report: Callable[[int, int], None]
) -> tuple[str, ...]:
    """Filter a source block by block into a target.

    Parameters
    ----------
    source
        Axes of the filter.
    target
        Whatever takes ``target[slices] = block``; the same shape.
    job
        The filter; a noise that is not set would be estimated for every block by itself.
    chunks
        As `plan_blocks` gives them.
    report
        Called with the number of blocks done, and of all.

    Returns
    -------
    tuple of str
        What the filter warned of.
    """
    require_dask()
    import dask.array as da

    assert job.halo is not None
    far = aligned(job.halo, job.step)
    depth = {axis: reach if len(chunks[axis]) > 1 else 0 for axis, reach in enumerate(far)}
    notes: dict[str, None] = {}
    done, total = 0, math.prod(len(sizes) for sizes in chunks)

    def work(part: NDArray[Any]) -> NDArray[Any]:
        nonlocal done
        filtered = run_filter(plain_pixels(part), job)
        notes.update(dict.fromkeys(filtered.notes))
        done += 1
        report(done, total)
        return filtered.pixels

    meta = np.empty((0,) * source.ndim, job.result_type(source.dtype))
    array = da.from_array(source, chunks=chunks, name=False, meta=np.empty((0,) * source.ndim, source.dtype))
    result = array.map_overlap(work, depth=depth, boundary="none", dtype=meta.dtype, meta=meta)
    da.store(result, target, lock=False, scheduler="synchronous")
    return tuple(notes)
