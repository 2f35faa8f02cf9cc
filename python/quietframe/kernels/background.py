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
    for axis in (0, 1) if factor > 1 else ():
        pixels = np.minimum.reduceat(pixels, np.arange(0, pixels.shape[axis], factor), axis=axis)
    return np.ascontiguousarray(pixels)


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
                first = side - 1 - u
                for x in range(width):
                    lifted[y, first + x] = min(lifted[y, first + x], row[x] - b)


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
                for x in range(width):
                    result[y, x] = max(result[y, x], lifted[y + v, x + u] + b)


def enlarged(small: Floats, shape: tuple[int, ...], factor: int) -> Floats:
    """Return the small image at full size, interpolated linearly along rows, then between them.

    Where a side is shrunken to one pixel, ImageJ's command fails (width) or extrapolates to nonsense (height); here
    that pixel is repeated.
    """
    rows, row_weights = _neighbours(shape[0], small.shape[0], factor)
    columns, weights = _neighbours(shape[1], small.shape[1], factor)
    one = np.float32(1)
    following = np.minimum(columns + 1, small.shape[1] - 1)
    wide = small[:, columns] * weights + small[:, following] * (one - weights)
    following = np.minimum(rows + 1, small.shape[0] - 1)
    down = row_weights[:, np.newaxis]
    result: Floats = wide[rows] * down + wide[following] * (one - down)
    return result


def _neighbours(length: int, small: int, factor: int) -> tuple[NDArray[np.int64], Floats]:
    """Return for each pixel the shrunken pixel before it, and that one's weight; extrapolates at both ends."""
    place = np.arange(length)
    # Towards zero, as Java divides.
    before = np.clip((place - factor // 2) // factor, 0, max(small - 2, 0))
    half, one = np.float32(0.5), np.float32(1)
    distance = (place.astype(np.float32) + half) / np.float32(factor) - (before.astype(np.float32) + half)
    return before, (np.zeros_like(distance) if small == 1 else one - distance)
