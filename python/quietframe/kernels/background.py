"""The background under an image: a ball rolled, or a parabola slid, along its lower side, as ImageJ 1.54p does it.

What is computed for one pixel, and in which order single-precision values are added, is that of
``ij.plugin.filter.BackgroundSubtracter``. The rolled ball is written as what it is, an opening: first how high the
ball can rise at each place (a minimum over its surface), then the highest ball over each pixel (a maximum). Minima and
maxima do not depend on their order, so that many pixels are done by one instruction. The parabola is in `parabola`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bands import over_bands

Floats = NDArray[np.float32]

_THIRD = np.float32(0.33333333)
_ONE = np.float32(1)
# Largest radius [px], shrink factor, percent of the ball that is cut off at each side.
_BALLS = ((10.0, 1, 24), (30.0, 2, 24), (100.0, 4, 32), (math.inf, 8, 40))


@dataclass(frozen=True)
class Ball:
    """The top of a ball, and by how much the image is shrunken before it is rolled."""

    heights: Floats
    """Square with an odd side; above the ball's centre [intensity units = shrunken pixels]."""
    shrink: int


def make_ball(radius: float) -> Ball:
    """Return the ball for a radius [px]: the larger, the more the image is shrunken and the more of it is cut off."""
    shrink, trim = next((shrink, trim) for limit, shrink, trim in _BALLS if radius <= limit)
    small = max(1.0, radius / shrink)
    half = math.floor(small - int(trim * small) // 100 + 0.5)
    offset = np.arange(-half, half + 1, dtype=np.float64)
    square = small * small - offset * offset - (offset * offset)[:, np.newaxis]
    return Ball(np.sqrt(np.maximum(square, 0)).astype(np.float32), shrink)


def rolled_ball(pixels: Floats, radius: float, *, light: bool, smooth: bool) -> Floats:
    """Return the background that a ball rolled under (or, for a light background, over) the image reaches.

    Parameters
    ----------
    pixels
        YX.
    radius
        Of the ball [px].
    light
        The background is brighter than the objects.
    smooth
        Take the mean of 3x3 pixels first.
    """
    ball = make_ball(radius)
    surface = np.negative(pixels) if light else np.array(pixels, order="C")
    if smooth:
        mean_3x3(surface)
    shrink = ball.shrink
    small = opened(shrunken(surface, shrink), ball.heights)
    background = small if shrink == 1 else enlarged(small, surface.shape, shrink)
    return np.negative(background) if light else background


def mean_3x3(pixels: Floats) -> None:
    """Replace each pixel by the mean of three in its row, then of three in its column, in place."""
    over_bands(lambda start, stop: _mean_in_rows(pixels, start, stop), pixels.shape[0])
    over_bands(lambda start, stop: _mean_in_columns(pixels, start, stop), pixels.shape[1])


@njit(nogil=True, cache=True)
def _mean_in_rows(pixels: Floats, start: int, stop: int) -> None:
    width = pixels.shape[1]
    line = np.empty(width + 2, dtype=np.float32)
    for y in range(start, stop):
        line[1:-1] = pixels[y]
        line[0], line[-1] = pixels[y, 0], pixels[y, width - 1]
        for x in range(width):
            pixels[y, x] = (line[x] + line[x + 1] + line[x + 2]) * _THIRD


@njit(nogil=True, cache=True)
def _mean_in_columns(pixels: Floats, start: int, stop: int) -> None:
    height = pixels.shape[0]
    before = pixels[0, start:stop].copy()
    for y in range(height):
        below = min(y + 1, height - 1)
        for x in range(start, stop):
            here = pixels[y, x]
            pixels[y, x] = (before[x - start] + here + pixels[below, x]) * _THIRD
            before[x - start] = here


def shrunken(pixels: Floats, factor: int) -> Floats:
    """Return the minimum of each block of ``factor`` x ``factor`` pixels, smaller blocks at the far edges."""
    if factor == 1:
        return pixels
    small = np.full([-(-size // factor) for size in pixels.shape], np.inf, dtype=np.float32)
    over_bands(lambda start, stop: _shrink_rows(pixels, factor, small, start, stop), len(small))
    return small


@njit(nogil=True, cache=True)
def _shrink_rows(pixels: Floats, factor: int, small: Floats, start: int, stop: int) -> None:
    height, width = pixels.shape
    least = np.empty(width, dtype=np.float32)
    for row in range(start, stop):
        least[:] = pixels[row * factor]
        for y in range(row * factor + 1, min((row + 1) * factor, height)):
            for x in range(width):
                least[x] = min(least[x], pixels[y, x])
        for x in range(width):
            small[row, x // factor] = min(small[row, x // factor], least[x])


def opened(pixels: Floats, ball: Floats) -> Floats:
    """Return the highest surface of balls that stay below the pixels; their centres may lie outside the image."""
    height, width = pixels.shape
    half = len(ball) // 2
    lifted = np.empty((height + 2 * half, width + 2 * half), dtype=np.float32)
    over_bands(lambda start, stop: _lift(pixels, ball, lifted, start, stop), len(lifted))
    result = np.empty_like(pixels)
    over_bands(lambda start, stop: _cover(lifted, ball, result, start, stop), height)
    return result


@njit(nogil=True, cache=True)
def _lift(pixels: Floats, ball: Floats, lifted: Floats, start: int, stop: int) -> None:
    """Find how high the ball's centre can be: the least of pixel minus ball, over the pixels inside the image."""
    height, width = pixels.shape
    side = ball.shape[0]
    for y in range(start, stop):
        lifted[y] = np.inf
        for v in range(max(0, side - 1 - y), min(side, side - 1 - y + height)):
            row = pixels[y + v - side + 1]
            for u in range(side):
                b = ball[v, u]
                target = lifted[y, side - 1 - u : side - 1 - u + width]
                for x in range(width):
                    target[x] = min(target[x], row[x] - b)


@njit(nogil=True, cache=True)
def _cover(lifted: Floats, ball: Floats, result: Floats, start: int, stop: int) -> None:
    """Find the highest point of the balls over each pixel."""
    side = ball.shape[0]
    width = result.shape[1]
    for y in range(start, stop):
        result[y] = -np.inf
        for v in range(side):
            for u in range(side):
                b = ball[v, u]
                source = lifted[y + v, u : u + width]
                for x in range(width):
                    result[y, x] = max(result[y, x], source[x] + b)


def enlarged(small: Floats, shape: tuple[int, ...], factor: int) -> Floats:
    """Return the small image at full size, interpolated linearly along rows, then between them.

    Where a side is shrunken to one pixel, ImageJ's command fails (width) or extrapolates to nonsense (height); here
    that pixel is repeated.
    """
    columns = _neighbours(shape[1], small.shape[1], factor)
    rows = _neighbours(shape[0], small.shape[0], factor)
    wide = np.empty((len(small), shape[1]), dtype=np.float32)
    _stretch_rows(small, columns, wide)
    result = np.empty(shape, dtype=np.float32)
    over_bands(lambda start, stop: _between_rows(wide, rows, result, start, stop), len(result))
    return result


@njit(nogil=True, cache=True)
def _stretch_rows(small: Floats, columns: tuple[NDArray[np.int64], Floats], wide: Floats) -> None:
    before, weights = columns
    last = small.shape[1] - 1
    for y in range(len(wide)):
        for x in range(wide.shape[1]):
            after = small[y, min(before[x] + 1, last)]
            wide[y, x] = small[y, before[x]] * weights[x] + after * (_ONE - weights[x])


@njit(nogil=True, cache=True)
def _between_rows(wide: Floats, rows: tuple[NDArray[np.int64], Floats], result: Floats, start: int, stop: int) -> None:
    before, weights = rows
    for y in range(start, stop):
        above, below = wide[before[y]], wide[min(before[y] + 1, len(wide) - 1)]
        weight = weights[y]
        for x in range(wide.shape[1]):
            result[y, x] = above[x] * weight + below[x] * (_ONE - weight)


def _neighbours(length: int, small: int, factor: int) -> tuple[NDArray[np.int64], Floats]:
    """Return for each pixel the shrunken pixel before it, and that one's weight; extrapolates at both ends."""
    place = np.arange(length)
    # Towards zero, as Java divides.
    before = np.clip((place - factor // 2) // factor, 0, max(small - 2, 0))
    half = np.float32(0.5)
    distance = (place.astype(np.float32) + half) / np.float32(factor) - (before.astype(np.float32) + half)
    return before, (np.zeros_like(distance) if small == 1 else _ONE - distance)
