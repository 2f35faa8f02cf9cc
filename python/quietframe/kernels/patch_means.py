"""Weighted means of the pixels whose patches look alike: the inner loops of non-local means."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Planes = NDArray[np.float32]


@njit(nogil=True, cache=True)
def _add_squares(first: Floats, second: Floats, sums: Floats) -> None:
    for x in range(sums.size):
        difference = first[x] - second[x]
        sums[x] += difference * difference


@njit(nogil=True, cache=True)
def _weigh(distances: Floats, scale: np.float32) -> None:
    """Turn sums of squared differences, less what is free, into ``exp(-max(scale * sum, 0))``."""
    for x in range(distances.size):
        # exp(-d) as the 32nd power of a Taylor polynomial, which the compiler turns into vector instructions: 5e-7
        # relative for d up to 8; from d = 16, where it is 1e-7, the weight is 0.
        exponent = distances[x] * scale
        small = exponent if exponent > np.float32(0.0) else np.float32(0.0)
        small = small if small < np.float32(16.0) else np.float32(16.0)
        small *= np.float32(-0.03125)
        power = np.float32(1.0) + small * np.float32(1.0 / 6.0)
        power = np.float32(1.0) + small * np.float32(0.2) * power
        power = np.float32(1.0) + small * np.float32(0.25) * power
        power = np.float32(1.0) + small * np.float32(1.0 / 3.0) * power
        power = np.float32(1.0) + small * np.float32(0.5) * power
        power = np.float32(1.0) + small * power
        power *= power
        power *= power
        power *= power
        power *= power
        distances[x] = power * power if exponent < np.float32(16.0) else np.float32(0.0)


@njit(nogil=True, cache=True)
def _patch_weights(
    first: Planes, second: Planes, side: int, scale: np.float32, squares: Floats, weights: Floats
) -> None:
    """Weigh the pixels of one row against those of another.

    Parameters
    ----------
    first, second
        (depth of a patch, its side, pixels + side - 1): the rows that the patches of both cover.
    side
        Height and width of the patches [px].
    scale
        1 / (h^2 pixels of a patch).
    squares, weights
        Work space, and the result: at least as long as the rows.
    """
    length = first.shape[2]
    pixels = length - side + 1
    squares[:length] = np.float32(0.0)
    for plane in range(first.shape[0]):
        for row in range(side):
            _add_squares(first[plane, row], second[plane, row], squares[:length])
    # Patches of identical things differ by twice the variance of the noise, which is 1: that much is free.
    weights[:pixels] = np.float32(-2.0 * first.shape[0] * side * side)
    for column in range(side):
        part = squares[column : column + pixels]
        for x in range(pixels):
            weights[x] += part[x]
    _weigh(weights[:pixels], scale)


@njit(nogil=True, cache=True)
def _add_weighted(first: Floats, second: Floats, weights: Floats, sums: Floats, total: Floats) -> None:
    for x in range(first.size):
        sums[x] += weights[x]
        # Differences, not values: an offset costs no digits.
        total[x] += weights[x] * (second[x] - first[x])


@njit(nogil=True, cache=True)
def mean_rows(
    padded: Floats, half: NDArray[np.int64], reach: NDArray[np.int64], h: float, out: Floats, start: int, stop: int
) -> None:
    """Average rows `start` to `stop` of a volume, whose noise is 1, by the likeness of patches.

    Parameters
    ----------
    padded
        (Z + 2 half[0], Y + 2 half[1], X + 2 half[1]): the volume, continued beyond its edges for the patches.
    half
        Half widths of the patches along Z, and along Y and X [px].
    reach
        How far patches are looked for along Z, and along Y and X [px], within the volume.
    h
        A mean squared difference of ``2 + h^2`` has the weight 1/e, one of 2 and less the weight 1.
    out
        (Z, Y, X).
    start, stop
        Rows to write, counted through all planes: row y of plane z is ``z Y + y``.
    """
    depth, height, width = out.shape
    deep, side, margin = 2 * half[0] + 1, 2 * half[1] + 1, half[1]
    scale = np.float32(1.0 / (h * h * deep * side * side))
    work = np.empty((4, padded.shape[2]), np.float32)
    sums, total = work[2], work[3]
    for row in range(start, stop):
        z, y = row // height, row % height
        line = padded[z + half[0], y + margin, margin : margin + width]
        work[2:] = np.float32(0.0)
        for other_z in range(max(0, z - reach[0]), min(depth, z + reach[0] + 1)):
            for other_y in range(max(0, y - reach[1]), min(height, y + reach[1] + 1)):
                other = padded[other_z + half[0], other_y + margin, margin : margin + width]
                for shift in range(-min(reach[1], width - 1), min(reach[1], width - 1) + 1):
                    first, last = max(0, -shift), min(width, width - shift)
                    _patch_weights(
                        padded[z : z + deep, y : y + side, first : last + side - 1],
                        padded[
                            other_z : other_z + deep, other_y : other_y + side, first + shift : last + shift + side - 1
                        ],
                        side,
                        scale,
                        work[0],
                        work[1],
                    )
                    near = other[first + shift : last + shift]
                    _add_weighted(line[first:last], near, work[1], sums[first:last], total[first:last])
        for x in range(width):
            out[z, y, x] = line[x] + total[x] / sums[x]
