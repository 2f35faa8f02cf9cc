"""Averages over those neighbours only whose value lies in a range around the centre: the two Lee sigma filters."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatPlane = NDArray[np.float32]


@njit(nogil=True, cache=True)
def sigma_rows(
    padded: FloatPlane, half: int, bound: float, enough: int, out: FloatPlane, start: int, stop: int
) -> None:
    """Average the neighbours within `bound` of the centre, for rows `start` to `stop` of the result.

    Parameters
    ----------
    padded
        (Y + 2 half, X + 2 half), the image with its edges repeated.
    half
        Half width of the square window [px].
    bound
        Largest difference from the centre [unit of the image].
    enough
        Where fewer pixels than this are within the bound, centre included, the mean of the four nearest is taken.
    out
        (Y, X).
    start, stop
        Rows of `out` to write.
    """
    side = 2 * half + 1
    for y in range(start, stop):
        for x in range(out.shape[1]):
            centre = padded[y + half, x + half]
            total = 0.0
            count = 0
            for row in range(y, y + side):
                for column in range(x, x + side):
                    difference = float(padded[row, column]) - float(centre)
                    if abs(difference) <= bound:
                        # Differences, not values: a large offset costs no digits.
                        total += difference
                        count += 1
            if count < enough:
                total = -4.0 * centre
                total += padded[y + half - 1, x + half] + float(padded[y + half + 1, x + half])
                total += padded[y + half, x + half - 1] + float(padded[y + half, x + half + 1])
                count = 4
            out[y, x] = centre + total / count


@njit(nogil=True, cache=True)
def linear_estimate(centre: float, count: int, total: float, squares: float, speckle: float) -> float:
    """Return the linear minimum-mean-square-error estimate of a mean behind speckle of one relative variance.

    Parameters
    ----------
    centre
        The pixel.
    count, total, squares
        How many neighbours, their sum and the sum of their squares.
    speckle
        Relative variance of the speckle: 1 / looks, or that of its truncated distribution.
    """
    mean = total / count
    variance = squares / count - mean * mean
    # Below this, rounding is all there is.
    if variance <= 1e-13 * squares / count:
        return mean
    signal = (variance - mean * mean * speckle) / (1.0 + speckle)
    return mean + max(signal, 0.0) / variance * (centre - mean)


@njit(nogil=True, cache=True)
def speckle_rows(
    padded: FloatPlane,
    half: int,
    model: NDArray[np.float64],
    kept: NDArray[np.bool_],
    out: FloatPlane,
    rows: NDArray[np.int64],
) -> None:
    """Filter speckle by the improved sigma filter, for some rows.

    Parameters
    ----------
    padded
        (Y + 2 half, X + 2 half), the image with its edges repeated; half >= 1.
    half
        Half width of the square window [px].
    model
        Lower and upper end of the sigma range in units of the mean, relative variance of the speckle, and that of the
        speckle inside the range.
    kept
        (Y, X), true where a pixel stays as it is.
    out
        (Y, X).
    rows
        First row of `out` to write, and the row after the last.
    """
    side = 2 * half + 1
    for y in range(rows[0], rows[1]):
        for x in range(out.shape[1]):
            centre = float(padded[y + half, x + half])
            out[y, x] = centre
            if kept[y, x]:
                continue
            total, squares = 0.0, 0.0
            for row in range(y + half - 1, y + half + 2):
                for column in range(x + half - 1, x + half + 2):
                    value = float(padded[row, column])
                    total += value
                    squares += value * value
            mean = linear_estimate(centre, 9, total, squares, model[2])
            low, high = model[0] * mean, model[1] * mean
            count, total, squares = 0, 0.0, 0.0
            for row in range(y, y + side):
                for column in range(x, x + side):
                    value = float(padded[row, column])
                    if low <= value <= high:
                        count += 1
                        total += value
                        squares += value * value
            if count > 0:
                out[y, x] = linear_estimate(centre, count, total, squares, model[3])
