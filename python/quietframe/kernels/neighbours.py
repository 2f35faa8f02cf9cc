"""Means and medians over the neighbours in a stack that a list of offsets names; what lies outside is left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bands import over_bands
from .disc_median import select

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def ellipsoid(radius_x: float, radius_y: float, radius_z: float) -> Indices:
    """Return the offsets (n, 3) in z, y, x, in reading order, that ImageJ's 3D filters take in.

    Those with ``(x / radius_x)^2 + (y / radius_y)^2 + (z / radius_z)^2 <= 1``, the radii squared in single precision.
    A radius of 0 leaves its direction out.
    """
    lines, weights = [], []
    for radius in (radius_z, radius_y, radius_x):
        single = np.float32(radius)
        far = math.ceil(single)
        lines.append(np.arange(-far, far + 1))
        weights.append(1.0 / float(single * single) if single > 0 else 0.0)
    z, y, x = np.meshgrid(*lines, indexing="ij")
    # In ImageJ's order of additions: on the surface of the ellipsoid the last bit decides.
    inside = x * x * weights[2] + y * y * weights[1] + z * z * weights[0] <= 1.0
    return np.stack([z[inside], y[inside], x[inside]], axis=1).astype(np.int64)


@njit(nogil=True, cache=True)
def _overlap(length: int, offset: int) -> tuple[int, int]:
    return max(0, -offset), min(length, length - offset)


@njit(nogil=True, cache=True)
def _mean_rows(volume: Floats, offsets: Indices, out: Floats, start: int, stop: int) -> None:
    depth, height, width = volume.shape
    total, count = np.empty(width), np.empty(width)
    for row in range(start, stop):
        z, y = row // height, row % height
        total[:] = 0.0
        count[:] = 0.0
        for k in range(len(offsets)):
            dz, dy, dx = offsets[k, 0], offsets[k, 1], offsets[k, 2]
            first, last = _overlap(width, dx)
            if 0 <= z + dz < depth and 0 <= y + dy < height and first < last:
                values = volume[z + dz, y + dy, first + dx : last + dx]
                sums, counts = total[first:last], count[first:last]
                for x in range(last - first):
                    sums[x] += np.float64(values[x])
                    counts[x] += 1.0
        for x in range(width):
            out[z, y, x] = np.float32(total[x] / count[x])


@njit(nogil=True, cache=True)
def _reachable(volume: Floats, offsets: Indices, z: int, y: int) -> Indices:
    """Return where in memory the neighbours of a row lie that are inside the stack in z and y, and their dx (n, 2)."""
    depth, height, width = volume.shape
    found = np.empty((len(offsets), 2), np.int64)
    count = 0
    for k in range(len(offsets)):
        if 0 <= z + offsets[k, 0] < depth and 0 <= y + offsets[k, 1] < height:
            found[count, 0] = (offsets[k, 0] * height + offsets[k, 1]) * width + offsets[k, 2]
            found[count, 1] = offsets[k, 2]
            count += 1
    return found[:count]


@njit(nogil=True, cache=True, inline="always")
def _part(value: float, guess: float, sides: tuple[Floats, Floats], below: int, above: int) -> tuple[int, int]:
    # Written first, counted afterwards: a jump here would be foreseen wrongly every second time.
    sides[0][below] = value
    sides[1][above] = value
    return below + int(value < guess), above + int(value > guess)


@njit(nogil=True, cache=True)
def _ordered(sides: tuple[Floats, Floats], below: int, above: int, count: int, n: int, guess: float) -> Any:
    """Return the n-th smallest of values that were parted into those below and those above a guess."""
    if n < below:
        return select(sides[0][:below], n)
    return select(sides[1][:above], n - (count - above)) if n >= count - above else guess


@njit(nogil=True, cache=True)
def _median_rows(volume: Floats, offsets: Indices, out: Floats, start: int, stop: int) -> None:
    """Part the neighbours at the median of the voxel before, which is near, and look for the median on one side."""
    height, width = volume.shape[1:]
    flat = volume.ravel()
    sides = (np.empty(len(offsets) + 1, np.float32), np.empty(len(offsets) + 1, np.float32))
    far = np.abs(offsets[:, 2]).max()
    for row in range(start, stop):
        near = _reachable(volume, offsets, row // height, row % height)
        line = out[row // height, row % height]
        guess = flat[row * width]
        for x in range(width):
            at, below, above, count = row * width + x, 0, 0, len(near)
            if far <= x < width - far:
                for k in range(len(near)):
                    below, above = _part(flat[at + near[k, 0]], guess, sides, below, above)
            else:
                count = 0
                for k in range(len(near)):
                    if 0 <= x + near[k, 1] < width:
                        below, above = _part(flat[at + near[k, 0]], guess, sides, below, above)
                        count += 1
            upper = _ordered(sides, below, above, count, count // 2, guess)
            line[x] = upper
            if count % 2 == 0:
                lower = _ordered(sides, below, above, count, count // 2 - 1, guess)
                line[x] = np.float32(0.5) * (lower + upper)
            guess = upper


def over_neighbours(pixels: NDArray[Any], offsets: Indices, *, median: bool) -> Floats:
    """Return the mean or the median over the neighbours of each pixel that lie inside the stack.

    Parameters
    ----------
    pixels
        Three axes; uint8, uint16 or float32.
    offsets
        (n, 3), with (0, 0, 0) among them. Means are summed up in their order, in double precision.
    median
        The median instead of the mean; of an even number of values the mean of the middle two.
    """
    volume = np.ascontiguousarray(pixels, dtype=np.float32)
    out = np.empty(volume.shape, dtype=np.float32)
    kernel = _median_rows if median else _mean_rows
    over_bands(lambda start, stop: kernel(volume, offsets, out, start, stop), volume.shape[0] * volume.shape[1])
    return out
