"""Averages over those neighbours only whose value lies in a range around the centre: the two Lee sigma filters."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatPlane = NDArray[np.float32]


@njit(nogil=True, cache=True)
def sigma_rows(image: FloatPlane, half: int, bound: float, enough: int, out: FloatPlane, start: int, stop: int) -> None:
    """Average the neighbours within `bound` of the centre, for rows `start` to `stop` of the result.

    Parameters
    ----------
    image, out
        (Y, X).
    half
        Half width of the square window [px]; what lies beyond the edges does not count.
    bound
        Largest difference from the centre [unit of the image].
    enough
        Where fewer pixels than this are within the bound, centre included, the mean of the four nearest is taken.
    start, stop
        Rows of `out` to write.
    """
    height, width = image.shape
    for y in range(start, stop):
        for x in range(width):
            centre = float(image[y, x])
            total = 0.0
            count = 0
            for row in range(max(0, y - half), min(height, y + half + 1)):
                for column in range(max(0, x - half), min(width, x + half + 1)):
                    # Differences, not values: a large offset costs no digits.
                    difference = float(image[row, column]) - centre
                    if abs(difference) <= bound:
                        total += difference
                        count += 1
            if count < enough and height * width > 1:
                total = 0.0
                count = 0
                for row, column in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= row < height and 0 <= column < width:
                        total += float(image[row, column]) - centre
                        count += 1
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
def _window_estimate(
    image: FloatPlane, y: int, x: int, half: int, limits: tuple[float, float], speckle: float
) -> tuple[int, float]:
    """Return how many pixels of a window lie within the limits, and the `linear_estimate` of the centre from them."""
    height, width = image.shape
    count, total, squares = 0, 0.0, 0.0
    for row in range(max(0, y - half), min(height, y + half + 1)):
        for column in range(max(0, x - half), min(width, x + half + 1)):
            value = float(image[row, column])
            if limits[0] <= value <= limits[1]:
                count += 1
                total += value
                squares += value * value
    if count == 0:
        return 0, 0.0
    return count, linear_estimate(float(image[y, x]), count, total, squares, speckle)


@njit(nogil=True, cache=True)
def speckle_rows(
    image: FloatPlane,
    half: int,
    model: NDArray[np.float64],
    kept: NDArray[np.bool_],
    out: FloatPlane,
    start: int,
    stop: int,
) -> None:
    """Filter speckle by the improved sigma filter, for rows `start` to `stop` of the result.

    Parameters
    ----------
    image, out
        (Y, X).
    half
        Half width of the square window [px]; what lies beyond the edges does not count.
    model
        Lower and upper end of the sigma range in units of the mean, relative variance of the speckle, and that of the
        speckle inside the range.
    kept
        (Y, X), true where a pixel stays as it is.
    start, stop
        Rows of `out` to write.
    """
    for y in range(start, stop):
        for x in range(image.shape[1]):
            out[y, x] = image[y, x]
            if not kept[y, x]:
                _, mean = _window_estimate(image, y, x, 1, (-np.inf, np.inf), model[2])
                limits = (model[0] * mean, model[1] * mean)
                count, estimate = _window_estimate(image, y, x, half, limits, model[3])
                if count > 0:
                    out[y, x] = estimate
