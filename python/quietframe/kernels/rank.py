"""Means, variances, smallest and largest values within ImageJ's discs, row by row so that the loops run along x.

Sums are made in double precision in the order of ``ij.plugin.filter.RankFilters``: of the whole disc at the first pixel
of a row, from there on by what enters and what leaves. What enters and leaves does not depend on the pixel before, so
it is added up for a whole row at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bands import over_bands
from .disc import half_widths, pad_edges

Floats = NDArray[np.float32]

_SMALL = 2  # discs that reach less far are summed anew at every pixel


@njit(nogil=True, cache=True)
def _add_row(sums: NDArray[Any], squares: NDArray[Any], values: Floats, with_squares: bool) -> None:
    values = values[: len(sums)]
    for x in range(len(sums)):
        sums[x] += np.float64(values[x])
    if with_squares:
        for x in range(len(sums)):
            value = np.float64(values[x])
            squares[x] += value * value


@njit(nogil=True, cache=True)
def _add_sides(sums: NDArray[Any], squares: NDArray[Any], sides: tuple[Floats, Floats], with_squares: bool) -> None:
    leaving, entering = sides[0][: len(sums)], sides[1][: len(sums)]
    for x in range(len(sums)):
        sums[x] = sums[x] - np.float64(leaving[x]) + np.float64(entering[x])
    if with_squares:
        for x in range(len(sums)):
            left, right = np.float64(leaving[x]), np.float64(entering[x])
            squares[x] = squares[x] - left * left + right * right


@njit(nogil=True, cache=True)
def _disc_sums(
    rows: Floats, halves: NDArray[np.int64], sums: NDArray[Any], squares: NDArray[Any], with_squares: bool
) -> None:
    """Sum the discs around all pixels of a row; `rows` are those that the discs lie in."""
    far = len(halves) // 2
    sums[:] = 0.0
    squares[:] = 0.0
    if far < _SMALL:
        for k in range(len(halves)):
            for at in range(far - halves[k], far + halves[k] + 1):
                _add_row(sums, squares, rows[k, at:], with_squares)
        return
    for k in range(len(halves)):
        for value in rows[k, far - halves[k] : far + halves[k] + 1]:
            sums[0] += np.float64(value)
            squares[0] += np.float64(value) * np.float64(value)
    for k in range(len(halves)):
        sides = (rows[k, far - halves[k] :], rows[k, far + halves[k] + 1 :])
        _add_sides(sums[1:], squares[1:], sides, with_squares)
    for x in range(1, len(sums)):
        sums[x] += sums[x - 1]
    if with_squares:
        for x in range(1, len(sums)):
            squares[x] += squares[x - 1]


@njit(nogil=True, cache=True)
def _sum_band(padded: Floats, halves: NDArray[np.int64], variance: bool, out: Floats, start: int, stop: int) -> None:
    width = out.shape[1]
    points = float((2 * halves + 1).sum())
    sums, squares = np.empty(width), np.empty(width)
    for y in range(start, stop):
        _disc_sums(padded[y : y + len(halves)], halves, sums, squares, variance)
        row = out[y]
        if variance:
            for x in range(width):
                row[x] = max(np.float32((squares[x] - sums[x] * sums[x] / points) / points), np.float32(0))
        else:
            for x in range(width):
                row[x] = np.float32(sums[x] / points)


def disc_means(pixels: NDArray[Any], radius: float, *, variance: bool = False) -> Floats:
    """Return the mean, or the variance, of the disc around each pixel.

    Parameters
    ----------
    pixels
        YX; uint8, uint16 or float32.
    radius
        Of the disc [px], see `disc.half_widths`.
    variance
        The mean squared deviation instead of the mean; rounding below 0 becomes 0.
    """
    halves = half_widths(radius)
    padded = pad_edges(pixels, len(halves) // 2)
    out = np.empty(pixels.shape, dtype=np.float32)
    over_bands(lambda start, stop: _sum_band(padded, halves, variance, out, start, stop), len(out))
    return out


@njit(nogil=True, cache=True)
def _raise_row(out: Floats, first: Floats, second: Floats) -> None:
    first, second = first[: len(out)], second[: len(out)]
    for x in range(len(out)):
        larger = first[x] if first[x] > second[x] else second[x]
        out[x] = larger if larger > out[x] else out[x]


@njit(nogil=True, cache=True)
def _max_band(padded: Floats, halves: NDArray[np.int64], sign: float, out: Floats, start: int, stop: int) -> None:
    """Find the largest values: runs of 2^n pixels first, of which two make each row of the disc."""
    far = len(halves) // 2
    length = padded.shape[1]
    levels = 1
    while 1 << levels <= 2 * far + 1:
        levels += 1
    runs = np.full((levels, length), np.float32(-np.inf))
    level = np.zeros(len(halves), np.int64)
    for k in range(len(halves)):
        while 2 << level[k] <= 2 * halves[k] + 1:
            level[k] += 1
    out[start:stop] = np.float32(-np.inf)
    for row in range(start, stop + 2 * far):
        runs[0] = padded[row]
        for n in range(1, levels):
            step = 1 << (n - 1)
            _raise_row(_cleared(runs[n, : length - 2 * step + 1]), runs[n - 1], runs[n - 1, step:])
        for k in range(len(halves)):
            if start <= row - k < stop:
                run = runs[level[k]]
                last = far + halves[k] + 1 - (1 << level[k])
                _raise_row(out[row - k], run[far - halves[k] :], run[last:])
    if sign < 0:
        for y in range(start, stop):
            for x in range(out.shape[1]):
                out[y, x] = -out[y, x]


@njit(nogil=True, cache=True)
def _cleared(row: Floats) -> Floats:
    row[:] = np.float32(-np.inf)
    return row


def disc_extremes(pixels: NDArray[Any], radius: float, *, largest: bool) -> Floats:
    """Return the largest, or the smallest, value of the disc around each pixel.

    Parameters
    ----------
    pixels
        YX; uint8, uint16 or float32.
    radius
        Of the disc [px], see `disc.half_widths`.
    largest
        False for the smallest.
    """
    halves = half_widths(radius)
    padded = pad_edges(pixels, len(halves) // 2, negative=not largest)
    out = np.empty(pixels.shape, dtype=np.float32)
    sign = 1.0 if largest else -1.0
    over_bands(lambda start, stop: _max_band(padded, halves, sign, out, start, stop), len(out))
    return out
