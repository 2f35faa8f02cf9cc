"""The reads of one exposure, whichever way they are stored: an array, or the planes of a file opened lazily.

Two ways through them, both with bounded memory: read by read (`planes`: subtraction, screening) and row block by row
block (`rows`: fits, which need the whole ramp of a pixel at once).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

BLOCK_BYTES = 48 * 2**20
"""Memory that one block of rows may take [bytes]; small enough that a fit stays far below 300 MB."""


class PlaneSource(Protocol):
    """What a lazily opened image offers: one YX plane after the other, by number."""

    def plane(self, index: int) -> NDArray[Any]:
        """Return plane `index` (from 0) in stored order."""


class RowSource(Protocol):
    """What some files offer besides: rows of one plane without the rest of it."""

    def rows(self, plane: int, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of plane `plane` (from 0)."""


class Reads:
    """Equally spaced reads of one exposure, shape (N, Y, X), read when asked for.

    Parameters
    ----------
    source
        An array of shape (N, Y, X), or an opened image.
    shape
        ``(N, Y, X)``.
    dtype
        Type of the stored numbers.
    first_plane
        Number of the plane that is the first read (several exposures may share a file).
    row_source
        A faster way to some rows of a plane, where there is one.
    stored
        Type the camera's numbers had in the file, where `dtype` is another: it tells where their range ends.
    """

    def __init__(
        self,
        source: NDArray[Any] | PlaneSource,
        shape: Sequence[int],
        dtype: Any,
        *,
        first_plane: int = 0,
        row_source: RowSource | None = None,
        stored: Any = None,
    ) -> None:
        self._row_source = row_source
        self._source = source
        self.shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.dtype = np.dtype(dtype)
        self.stored = self.dtype if stored is None else np.dtype(stored)
        self._first_plane = first_plane

    def __len__(self) -> int:
        return self.shape[0]

    def plane(self, index: int) -> NDArray[Any]:
        """Return read `index` (from 0), shape (Y, X), in its stored type."""
        if isinstance(self._source, np.ndarray):
            return np.asarray(self._source[self._first_plane + index])
        return self._source.plane(self._first_plane + index)

    def planes(self, first: int = 0, last: int | None = None) -> Iterator[NDArray[Any]]:
        """Go once through the reads ``first:last``, each of shape (Y, X)."""
        for index in range(first, len(self) if last is None else last):
            yield self.plane(index)

    def rows(self, start: int, stop: int, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Return rows ``start:stop`` of the reads ``first:last``, shape (n, stop - start, X), in their stored type."""
        last = len(self) if last is None else last
        if isinstance(self._source, np.ndarray):
            return self._source[self._first_plane + first : self._first_plane + last, start:stop]
        block = np.empty((last - first, stop - start, self.shape[2]), self.dtype.newbyteorder("="))
        for position, index in enumerate(range(first, last)):
            if self._row_source is not None:
                block[position] = self._row_source.rows(self._first_plane + index, start, stop)
            else:
                block[position] = self.plane(index)[start:stop]
        return block

    def row_blocks(self, n_reads: int | None = None) -> list[tuple[int, int]]:
        """Cut the rows into equal blocks of at most `BLOCK_BYTES` for `n_reads` reads, as (start, stop)."""
        reads, height, width = self.shape
        row_bytes = (reads if n_reads is None else n_reads) * width * self.dtype.itemsize
        rows = max(8, BLOCK_BYTES // max(row_bytes, 1))
        count = max(1, -(-height // rows))
        edges = [height * i // count for i in range(count + 1)]
        return [(a, b) for a, b in pairwise(edges) if b > a]


def as_reads(reads: Reads | NDArray[Any]) -> Reads:
    """Take an array (N, Y, X) or reads as they are.

    Raises
    ------
    InputError
        When the array has not three axes, has an empty one, or does not hold real numbers.
    """
    if isinstance(reads, Reads):
        return reads
    array = np.asarray(reads)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"reads must have the shape (N, Y, X), none of them empty; got {array.shape}")
    if array.dtype.kind not in "uif":
        raise InputError(f"reads must be integers or floats; got {array.dtype}")
    return Reads(array, array.shape, array.dtype)


def check_range(n_reads: int, first: int, last: int | None) -> tuple[int, int]:
    """Check a range of reads and return it as ``(first, last)`` with `last` excluded, both from 0.

    Raises
    ------
    InputError
        When the exposure has one read only, or fewer than two reads are left. The message counts from 1.
    """
    stop = n_reads if last is None else last
    if n_reads < 2:
        raise InputError(f"this exposure has {n_reads} read; a difference or a fit needs at least 2")
    if not 0 <= first < n_reads:
        raise InputError(f"first read {first + 1} is not one of the reads 1 to {n_reads}")
    if not first < stop <= n_reads:
        raise InputError(f"last read {stop} must lie after the first read {first + 1} and not beyond {n_reads}")
    if stop - first < 2:
        raise InputError(f"reads {first + 1} to {stop} are one read only; at least 2 are needed")
    return first, stop
