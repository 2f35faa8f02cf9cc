"""Find the blocks of an image that look like a given one: full search around every block of a row, compiled.

For one displacement the squared differences of all blocks of a row are computed at once: they share their columns, so
a distance costs a few additions, and the loops run along the row.

References
----------
Dabov, Foi, Katkovnik, Egiazarian, "Image denoising by sparse 3-D transform-domain collaborative filtering", IEEE
Transactions on Image Processing 16, 2007, section III-A (grouping by matching).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def displacements(radius: int) -> NDArray[np.int32]:
    """Return all (dy, dx) of a square window except (0, 0), nearest first (n, 2); ties keep reading order."""
    line = np.arange(-radius, radius + 1)
    dy, dx = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    order = np.argsort(dy**2 + dx**2, kind="stable")[1:]
    return np.stack([dy[order], dx[order]], axis=1).astype(np.int32)


@njit(nogil=True, cache=True, fastmath=True, inline="always")
def _column_sums(image: NDArray[Any], at: tuple[int, int], to: tuple[int, int], sums: NDArray[Any]) -> None:
    """Sum the squared differences of 8 rows from two places: one sum per column."""
    n = len(sums)
    for pair in range(4):
        a0, b0 = image[at[0] + 2 * pair][at[1] :][:n], image[to[0] + 2 * pair][to[1] :][:n]
        a1, b1 = image[at[0] + 2 * pair + 1][at[1] :][:n], image[to[0] + 2 * pair + 1][to[1] :][:n]
        if pair == 0:
            for x in range(n):
                sums[x] = (a0[x] - b0[x]) ** 2 + (a1[x] - b1[x]) ** 2
        else:
            for x in range(n):
                sums[x] += (a0[x] - b0[x]) ** 2 + (a1[x] - b1[x]) ** 2


@njit(nogil=True, cache=True)
def _insert(distances: NDArray[Any], which: NDArray[Any], count: int, distance: float, index: int) -> int:
    """Put a block into the sorted list of the nearest ones; return how many it holds."""
    last = min(count, len(distances) - 1)
    while last > 0 and distances[last - 1] > distance:
        distances[last] = distances[last - 1]
        which[last] = which[last - 1]
        last -= 1
    distances[last] = distance
    which[last] = index
    return min(count + 1, len(distances))


@njit(nogil=True, cache=True, fastmath=True)
def match_row(
    image: NDArray[Any],
    y: int,
    columns: NDArray[Any],
    moves: NDArray[Any],
    offsets: NDArray[Any],
    limit: float,
    which: NDArray[Any],
) -> NDArray[Any]:
    """Find the nearest blocks of every reference block in one row of an image.

    Parameters
    ----------
    image
        Plane (Y, X), float32.
    y, columns
        Row, and columns in rising order, of the upper left pixels of the reference blocks, which are 8 x 8.
    moves
        Displacements (n, 2) that are tried.
    offsets
        What is subtracted from a distance, one per displacement: the part of it that noise makes.
    limit
        Blocks whose sum of squared differences, less the offset, reaches this are left out.
    which
        Result (columns, K), int32: indices into `moves`, nearest first; -1 first, the block itself.

    Returns
    -------
    NDArray
        How many blocks each group has, 1 to K.
    """
    height, width = image.shape
    n, room = which.shape
    counts = np.ones(n, np.int32)
    distances = np.full((n, room), np.float32(-1e30))
    worst = np.full(n, np.float32(limit))
    which[:, 0] = -1
    sums, fours = np.empty(width, np.float32), np.empty(width, np.float32)
    for move in range(len(moves)):
        dy, dx = moves[move]
        if y + dy < 0 or y + dy > height - 8:
            continue
        low, high = max(0, -dx), min(width, width - dx)
        if high - low < 8:
            continue
        part = sums[: high - low]
        _column_sums(image, (y, low), (y + dy, low + dx), part)
        four = fours[: len(part) - 3]
        for x in range(len(four)):
            four[x] = (part[x] + part[x + 1]) + (part[x + 2] + part[x + 3])
        offset = np.float32(offsets[move])
        for j in range(n):
            x = columns[j] - low
            if x < 0 or x > high - low - 8:
                continue
            distance = four[x] + four[x + 4] - offset
            if distance < worst[j]:
                counts[j] = _insert(distances[j], which[j], counts[j], distance, move)
                if counts[j] == room:
                    worst[j] = min(worst[j], distances[j, room - 1])
    return counts
