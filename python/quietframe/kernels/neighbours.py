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
def _median_of(values: Floats) -> Any:
    half = len(values) // 2
    upper = select(values, half)
    if len(values) % 2:
        return upper
    lower = values[0]
    for value in values[1:half]:
        lower = max(lower, value)
    return np.float32(0.5) * (lower + upper)


@njit(nogil=True, cache=True)
def _median_rows(volume: Floats, offsets: Indices, out: Floats, start: int, stop: int) -> None:
    depth, height, width = volume.shape
    values = np.empty(len(offsets), np.float32)
    for row in range(start, stop):
        z, y = row // height, row % height
        for x in range(width):
            count = 0
            for k in range(len(offsets)):
                dz, dy, dx = offsets[k, 0], offsets[k, 1], offsets[k, 2]
                if 0 <= z + dz < depth and 0 <= y + dy < height and 0 <= x + dx < width:
                    values[count] = volume[z + dz, y + dy, x + dx]
                    count += 1
            out[z, y, x] = _median_of(values[:count])


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
