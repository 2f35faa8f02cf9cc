"""Smooth the lines of an image by ImageJ's Gaussian: its kernel, its edges, its order of single-precision sums.

Lines are worked on in blocks that lie side by side in memory, so that one instruction serves many lines; what happens
to one pixel is the same, in the same order, as in ``ij.plugin.filter.GaussianBlur`` of ImageJ 1.54p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bands import over_bands

BYTE_ACCURACY = 0.002
"""Where the kernel ends for 8-bit images, as a part of its middle."""

FINE_ACCURACY = 0.0002
"""The same for 16-bit and float images."""

LARGEST_SIGMA = 100_000.0
"""Beyond it ImageJ's own integers overflow [px]."""

_DIRECT = 8.5  # largest sigma for which the line is not shrunken first
_SHRUNKEN_SIGMA = 4.0
_MARGIN = 3  # points added to a shrunken line on each side
_LANES = 32  # lines side by side
_TURN = 32  # points of a line that are turned into columns at a time

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LinePlan:
    """How a line of given length is smoothed: one side of the kernel, and the kernels that shrink and stretch it."""

    kernel: Floats
    beyond: Floats
    """Sum of the kernel from the next point outwards."""
    shrink: int
    down: Floats
    up: Floats


def kernel_length(sigma: float, accuracy: float) -> int:
    """Return how many points one side of the kernel has [px], the middle included, for a line that is long enough."""
    return math.ceil(sigma * math.sqrt(-2 * math.log(accuracy))) + 1


def reach(sigma: float, accuracy: float = FINE_ACCURACY) -> int | None:
    """Return from how far a pixel takes its value [px]; None where lines are shrunken from their first pixel on."""
    if sigma > _DIRECT:
        return None
    return kernel_length(sigma, accuracy) if sigma > 0 else 0


def gaussian_kernel(sigma: float, accuracy: float, longest: int) -> tuple[Floats, Floats]:
    """Return one side of the normalised kernel, and the sums of what lies outside each point.

    The Gaussian is bent down to zero at its end by a parabola, so that it has no step there.

    Parameters
    ----------
    sigma
        Standard deviation [px].
    accuracy
        Height, as a part of the middle, at which the kernel may end.
    longest
        Largest number of points (that of the line); fewer than 50 count as 50.
    """
    longest = max(longest, 50)
    size = min(kernel_length(sigma, accuracy), longest)
    kernel = np.array([math.exp(-0.5 * i * i / sigma / sigma) for i in range(size)], dtype=np.float32)
    if 3 < size < longest:
        _bend_down(kernel)
    heights = [float(value) for value in kernel]
    if size < longest:
        total = heights[0]
        for height in heights[1:]:
            total += 2 * height
    else:
        total = sigma * math.sqrt(2 * math.pi)
    beyond = np.empty_like(kernel)
    rest = 0.5 + 0.5 * heights[0] / total
    for i, height in enumerate(heights):
        kernel[i] = height / total
        rest -= height / total
        beyond[i] = rest
    return kernel, beyond


def _bend_down(kernel: Floats) -> None:
    """Replace the end of the kernel by the parabola that touches it and is zero just behind its last point."""
    size = len(kernel)
    slope, r = math.inf, size
    while r > size // 2:
        r -= 1
        steeper = math.sqrt(float(kernel[r])) / (size - r)
        if steeper >= slope:
            break
        slope = steeper
    for i in range(r + 2, size):
        kernel[i] = (size - i) * (size - i) * slope * slope


def _down_kernel(unit: int) -> Floats:
    middle = unit * 3 // 2
    kernel = np.zeros(3 * unit, dtype=np.float32)
    for i in range((unit * 3 + 1) // 2):
        x = i / unit
        value = (0.75 - x * x) / unit if i <= unit // 2 else (0.125 + 0.5 * (x - 1) * (x - 2)) / unit
        kernel[middle - i] = kernel[middle + i] = value
    return kernel


def _up_kernel(unit: int) -> Floats:
    kernel = np.zeros(4 * unit, dtype=np.float32)
    for i in range(2 * unit):
        x = i / unit
        value = 2.0 / 3.0 - x * x * (1 - 0.5 * x) if i < unit else (2.0 - x) * (2.0 - x) * (2.0 - x) / 6.0
        kernel[2 * unit - i] = kernel[2 * unit + i] = value
    return kernel


def plan_line(length: int, sigma: float, accuracy: float) -> LinePlan:
    """Plan the smoothing of lines of `length` pixels by a Gaussian of standard deviation `sigma` > 0 [px]."""
    if sigma <= _DIRECT:
        empty = np.empty(0, dtype=np.float32)
        return LinePlan(*gaussian_kernel(sigma, accuracy, length), 0, empty, empty)
    shrink = min(math.floor(sigma / _SHRUNKEN_SIGMA), length)
    # Shrinking and stretching smooth as well: their variances are 1/4 and 1/3 of a shrunken pixel squared.
    rest = math.sqrt(sigma * sigma / (shrink * shrink) - 1.0 / 3.0 - 1.0 / 4.0)
    kernel, beyond = gaussian_kernel(rest, accuracy, -(-length // shrink) + 2 * _MARGIN)
    return LinePlan(kernel, beyond, shrink, _down_kernel(shrink), _up_kernel(shrink))


def blur_lines(pixels: Floats, axis: int, sigma: float, accuracy: float) -> None:
    """Smooth along one axis, in place.

    Parameters
    ----------
    pixels
        Two axes, contiguous.
    axis
        0 or 1, the axis that the lines run along.
    sigma
        Standard deviation [px]; 0 leaves the pixels as they are.
    accuracy
        `BYTE_ACCURACY`, `FINE_ACCURACY` or what the ImageJ command has.
    """
    if sigma <= 0:
        return
    plan = plan_line(pixels.shape[axis], sigma, accuracy)

    def work(start: int, stop: int) -> None:
        _blur_band(pixels, axis, start, stop, plan.shrink, (plan.kernel, plan.beyond, plan.down, plan.up))

    over_bands(work, pixels.shape[1 - axis])


def blur_plane(pixels: NDArray[Any], sigma_x: float, sigma_y: float, accuracy: float | None = None) -> Floats:
    """Return the smoothed plane in single precision, rows first, as ImageJ does.

    Parameters
    ----------
    pixels
        YX; uint8, uint16 or float32.
    sigma_x, sigma_y
        Standard deviations [px], 0 for none.
    accuracy
        None = what ImageJ's Gaussian Blur takes for the pixels' type.
    """
    if accuracy is None:
        accuracy = BYTE_ACCURACY if pixels.dtype == np.uint8 else FINE_ACCURACY
    result = np.array(pixels, dtype=np.float32, order="C")
    blur_lines(result, 1, sigma_x, accuracy)
    blur_lines(result, 0, sigma_y, accuracy)
    return result


@njit(nogil=True, cache=True)
def _load(pixels: Floats, axis: int, first: int, lines: Floats) -> None:
    """Copy lines side by side: point i of line j becomes ``lines[i, j]``."""
    length, lanes = lines.shape
    if axis == 0:
        for i in range(length):
            for j in range(lanes):
                lines[i, j] = pixels[i, first + j]
        return
    for i0 in range(0, length, _TURN):
        for j in range(lanes):
            for i in range(i0, min(i0 + _TURN, length)):
                lines[i, j] = pixels[first + j, i]


@njit(nogil=True, cache=True)
def _store(lines: Floats, pixels: Floats, axis: int, first: int) -> None:
    length, lanes = lines.shape
    if axis == 0:
        for i in range(length):
            for j in range(lanes):
                pixels[i, first + j] = lines[i, j]
        return
    for i0 in range(0, length, _TURN):
        for j in range(lanes):
            for i in range(i0, min(i0 + _TURN, length)):
                pixels[first + j, i] = lines[i, j]


@njit(nogil=True, cache=True)
def _convolve(padded: Floats, kernel: Floats, beyond: Floats, out: Floats) -> None:
    """Convolve lines that have ``kernel.size`` zeros at both ends; what is outside counts as the nearest end.

    A zero adds nothing, so that the sum at the ends is the same one as inside, behind the terms of the two ends.
    """
    length, lanes = out.shape
    size = kernel.size
    last = size + length - 1
    for i in range(length):
        p = size + i
        for j in range(lanes):
            out[i, j] = padded[p, j] * kernel[0]
        if i < size:
            for j in range(lanes):
                out[i, j] += beyond[i] * padded[size, j]
        if i + size > length or (i + size == length and i >= size):
            for j in range(lanes):
                out[i, j] += beyond[length - i - 1] * padded[last, j]
        k = 1
        while k + 3 < size:
            for j in range(lanes):
                total = out[i, j] + kernel[k] * (padded[p - k, j] + padded[p + k, j])
                total += kernel[k + 1] * (padded[p - k - 1, j] + padded[p + k + 1, j])
                total += kernel[k + 2] * (padded[p - k - 2, j] + padded[p + k + 2, j])
                total += kernel[k + 3] * (padded[p - k - 3, j] + padded[p + k + 3, j])
                out[i, j] = total
            k += 4
        while k < size:
            for j in range(lanes):
                out[i, j] += kernel[k] * (padded[p - k, j] + padded[p + k, j])
            k += 1


@njit(nogil=True, cache=True)
def _shrink_lines(lines: Floats, shrink: int, kernel: Floats, out: Floats) -> None:
    """Scale lines down: every shrunken point is the sum of three blocks of `shrink` pixels, summed block by block."""
    length, lanes = lines.shape
    points = out.shape[0]
    sums = np.empty((3, lanes), dtype=np.float32)
    p = -_MARGIN * shrink - shrink * 3 // 2
    for point in range(-1, points + 1):
        sums[:] = 0
        for x in range(shrink):
            row = min(max(p, 0), length - 1)
            for j in range(lanes):
                value = lines[row, j]
                sums[0, j] += value * kernel[x + 2 * shrink]
                sums[1, j] += value * kernel[x + shrink]
                sums[2, j] += value * kernel[x]
            p += 1
        for j in range(lanes):
            if point > 0:
                out[point - 1, j] += sums[0, j]
            if 0 <= point < points:
                out[point, j] += sums[1, j]
            if point + 1 < points:
                out[point + 1, j] = sums[2, j]


@njit(nogil=True, cache=True)
def _stretch_lines(small: Floats, shrink: int, kernel: Floats, out: Floats) -> None:
    length, lanes = out.shape
    for i in range(length):
        place = i + (_MARGIN + 1) * shrink - 1
        near = place // shrink
        x = shrink - 1 - place % shrink
        for j in range(lanes):
            out[i, j] = (
                small[near - 2, j] * kernel[x]
                + small[near - 1, j] * kernel[x + shrink]
                + small[near, j] * kernel[x + 2 * shrink]
                + small[near + 1, j] * kernel[x + 3 * shrink]
            )


@njit(nogil=True, cache=True)
def _blur_band(
    pixels: Floats, axis: int, start: int, stop: int, shrink: int, kernels: tuple[Floats, Floats, Floats, Floats]
) -> None:
    kernel, beyond, down, up = kernels
    length = pixels.shape[axis]
    size = kernel.size
    points = length if shrink == 0 else (length + shrink - 1) // shrink + 2 * _MARGIN
    lanes = 0
    for first in range(start, stop, _LANES):
        if min(_LANES, stop - first) != lanes:
            lanes = min(_LANES, stop - first)
            padded = np.zeros((points + 2 * size, lanes), dtype=np.float32)
            smooth = np.empty((points, lanes), dtype=np.float32)
            lines = np.empty((length if shrink > 0 else 0, lanes), dtype=np.float32)
        inner = padded[size : size + points]
        if shrink == 0:
            _load(pixels, axis, first, inner)
            _convolve(padded, kernel, beyond, smooth)
            _store(smooth, pixels, axis, first)
        else:
            _load(pixels, axis, first, lines)
            _shrink_lines(lines, shrink, down, inner)
            _convolve(padded, kernel, beyond, smooth)
            _stretch_lines(smooth, shrink, up, lines)
            _store(lines, pixels, axis, first)
