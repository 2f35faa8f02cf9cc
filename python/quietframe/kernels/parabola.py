"""Slide parabolas along the lines of an image: the background of ImageJ's Sliding Paraboloid.

Each line of pixels is replaced by the hull of all parabolas of one curvature that touch it from below: rows, columns,
rows again, and both diagonals. The order of single-precision operations is that of
``ij.plugin.filter.BackgroundSubtracter`` in ImageJ 1.54p; later versions differ (corners, offset after smoothing).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .background import mean_3x3
from .bands import over_bands

Floats = NDArray[np.float32]

_ROWS, _COLUMNS, _FALLING_TOP, _FALLING_SIDE, _RISING_TOP, _RISING_SIDE = range(6)
_ORDER = (
    _ROWS, _COLUMNS, _ROWS, _FALLING_TOP, _FALLING_SIDE, _RISING_TOP, _RISING_SIDE, _FALLING_TOP, _FALLING_SIDE,
)  # fmt: skip
_NEVER = 2**31 - 1
_ONE = np.float32(1)
_TWO = np.float32(2)
_HALF = np.float32(0.5)
_NEARLY_TWO = np.float32(1.999)
_HUGE = np.finfo(np.float32).max


def slid_parabola(pixels: Floats, radius: float, *, light: bool, smooth: bool) -> Floats:
    """Return the background that a parabola slid under (or, for a light background, over) the image reaches.

    Parameters
    ----------
    pixels
        YX.
    radius
        Radius of curvature at the parabola's top [px].
    light
        The background is brighter than the objects.
    smooth
        Take the maximum, then the mean, of 3x3 pixels first; the mean rise by the maximum is subtracted in the end.
    """
    surface = np.negative(pixels) if light else np.array(pixels, order="C")
    raised = np.float32(0)
    if smooth:
        raised = np.float32(_maximum_3x3(surface))
        mean_3x3(surface)
    flat = surface.reshape(-1)
    height, width = surface.shape
    along, across = _HALF / np.float32(radius), _ONE / np.float32(radius)
    _correct_corners(flat, width, height, along)
    for direction in _ORDER:
        curvature = along if direction in (_ROWS, _COLUMNS) else across
        first, last = _lines(direction, width, height)
        if last > first:
            _slide_lines(flat, width, height, direction, curvature, first, last)
    surface -= raised
    return np.negative(surface) if light else surface


def _lines(direction: int, width: int, height: int) -> tuple[int, int]:
    """Return the first line of a direction and the end of its lines; diagonals of less than 3 pixels are left out."""
    return {
        _ROWS: (0, height),
        _COLUMNS: (0, width),
        _FALLING_TOP: (0, width - 2),
        _FALLING_SIDE: (1, height - 2),
        _RISING_TOP: (2, width),
        _RISING_SIDE: (0, height - 2),
    }[direction]


def _slide_lines(
    flat: Floats, width: int, height: int, direction: int, curvature: np.float32, first: int, last: int
) -> None:
    over_bands(
        lambda start, stop: _slide_band(flat, (width, height), direction, curvature, first + start, first + stop),
        last - first,
    )


@njit(nogil=True, cache=True)
def _maximum_3x3(pixels: Floats) -> float:
    """Replace pixels by the maximum of three in the row, then in the column; return by how much they rose on average.

    Every line is summed for itself, then the lines: the sum's last bits depend on that.
    """
    height, width = pixels.shape
    total = 0.0
    for y in range(height):
        rise = 0.0
        before = pixels[y, 0]
        for x in range(width):
            here = pixels[y, x]
            highest = max(max(before, here), pixels[y, min(x + 1, width - 1)])
            rise += np.float64(highest - here)
            pixels[y, x], before = highest, here
        total += rise
    above = pixels[0].copy()
    rises = np.zeros(width)
    for y in range(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            here = pixels[y, x]
            highest = max(max(above[x], here), pixels[below, x])
            rises[x] += np.float64(highest - here)
            pixels[y, x], above[x] = highest, here
    for rise in rises:
        total += rise
    mean: float = total / width / height
    return mean


@njit(nogil=True, cache=True)
def _slide_band(
    flat: Floats, size: tuple[int, int], direction: int, curvature: np.float32, start: int, stop: int
) -> None:
    width, height = size
    longest = max(width, height)
    line = np.empty(longest, dtype=np.float32)
    following = np.empty(longest, dtype=np.int64)
    edges = np.empty(2, dtype=np.float32)
    for i in range(start, stop):
        if direction == _ROWS:
            pixel, step, length = i * width, 1, width
        elif direction == _COLUMNS:
            pixel, step, length = i, width, height
        elif direction == _FALLING_TOP:
            pixel, step, length = i, width + 1, min(height, width - i)
        elif direction == _FALLING_SIDE:
            pixel, step, length = i * width, width + 1, min(width, height - i)
        elif direction == _RISING_TOP:
            pixel, step, length = i, width - 1, min(height, i + 1)
        else:
            pixel, step, length = i * width + width - 1, width - 1, min(width, height - i)
        _slide(flat, (pixel, step, length), curvature, line, following, edges, False)


@njit(nogil=True, cache=True)
def _slide(
    flat: Floats,
    place: tuple[int, int, int],
    curvature: np.float32,
    line: Floats,
    following: NDArray[np.int64],
    edges: Floats,
    with_edges: bool,
) -> None:
    """Replace one line by the hull of parabolas below it; estimate its ends without objects there, when asked.

    Parameters
    ----------
    place
        First pixel, step from pixel to pixel, number of pixels.
    line, following
        Work space: the line's values; from each point that can be touched the next such point.
    edges
        Gets the two estimates.
    """
    pixel, step, length = place
    least = _find_candidates(flat, place, curvature, line, following)
    first_inside, last_inside = length - 1, 0
    here = 0
    while here < length - 1:
        touched, slope = _next_touch(line, following, here, length, curvature, least)
        if here == 0:
            first_inside = touched
        if touched == length - 1:
            last_inside = here
        for j in range(here + 1, touched):
            far = np.float32(j - here)
            flat[pixel + j * step] = line[here] + far * (slope - far * curvature)
        here = touched
    if with_edges:
        _estimate_edges(line, length, first_inside, last_inside, curvature, edges)


@njit(nogil=True, cache=True)
def _find_candidates(
    flat: Floats, place: tuple[int, int, int], curvature: np.float32, line: Floats, following: NDArray[np.int64]
) -> np.float32:
    """Copy the line, link the points that are not bent too far up to be touched, and return its least value."""
    pixel, step, length = place
    least = _HUGE
    limit = _NEARLY_TWO * curvature
    known = 0
    for i in range(length):
        value = flat[pixel + i * step]
        line[i] = value
        least = min(least, value)
        if i >= 2 and line[i - 1] + line[i - 1] - line[i - 2] - value < limit:
            following[known] = i - 1
            known = i - 1
    following[known] = length - 1
    following[length - 1] = _NEVER
    return least


@njit(nogil=True, cache=True, error_model="numpy")
def _next_touch(
    line: Floats, following: NDArray[np.int64], here: int, length: int, curvature: np.float32, least: np.float32
) -> tuple[int, np.float32]:
    """Return the next point that the parabola through point `here` touches, and the slope with which it starts.

    The search ends where even the least value of the line could not be touched any more; that limit is worked out
    anew only after some points, because it costs a root.
    """
    slope, touched = _HUGE, 0
    end, wait = length, 0
    j = following[here]
    while j < end:
        far = np.float32(j - here)
        candidate = (line[j] - line[here]) / far + curvature * far
        if candidate < slope:
            slope, touched, wait = candidate, j, -3
        if wait == 0:
            top = np.float64(_HALF * slope / curvature)
            reach = top + np.sqrt(top * top + np.float64((line[here] - least) / curvature)) + 1
            if here + reach < end:
                end = here + int(reach)
        j = following[j]
        wait += 1
    # Differences that are no number any more (values near the end of single precision) touch nowhere.
    return (touched if touched > here else following[here]), slope


@njit(nogil=True, cache=True, error_model="numpy")
def _estimate_edges(line: Floats, length: int, first: int, last: int, curvature: np.float32, edges: Floats) -> None:
    """Estimate both ends of a line from the points touched inside: a straight line and a sixth-order bend between."""
    if 4 * first >= length:
        first = 0
    if 4 * (length - 1 - last) >= length:
        last = length - 1
    between = np.float32(last - first)
    slope = (line[last] - line[first]) / between
    base = line[first] - slope * np.float32(first)
    bend = np.float32(0)
    middle = _HALF * np.float32(last + first)
    for i in range((length + 2) // 3, (2 * length) // 3 + 1):
        shape = _sixth((np.float32(i) - middle) * _TWO / between) - _ONE
        straight = base + slope * np.float32(i)
        if line[i] < straight + bend * shape:
            bend = -(straight - line[i]) / shape
    far = np.float32(first)
    shape = _sixth((np.float32(first) - middle) * _TWO / between) - _ONE
    edges[0] = base + bend * shape + curvature * far * far
    far = np.float32(length - 1 - last)
    shape = _sixth((np.float32(last) - middle) * _TWO / between) - _ONE
    edges[1] = base + np.float32(length - 1) * slope + bend * shape + curvature * far * far


@njit(nogil=True, cache=True)
def _sixth(x: np.float32) -> np.float32:
    return x * x * x * x * x * x


@njit(nogil=True, cache=True)
def _correct_corners(flat: Floats, width: int, height: int, curvature: np.float32) -> None:
    """Slide along the borders and from the corners, and lower corners that are higher than the lines let expect.

    A parabola always touches a corner, so that an object there would become background.
    """
    longest = max(width, height)
    line = np.empty(longest, dtype=np.float32)
    following = np.empty(longest, dtype=np.int64)
    edges = np.empty(2, dtype=np.float32)
    corner = np.array([0, width - 1, (height - 1) * width, height * width - 1])
    estimate = np.zeros(4, dtype=np.float32)
    for a, b, step, length in ((0, 1, 1, width), (2, 3, 1, width), (0, 2, width, height), (1, 3, width, height)):
        _slide(flat, (corner[a], step, length), curvature, line, following, edges, True)
        estimate[a] += edges[0]
        estimate[b] += edges[1]
    inwards = (width + 1, width - 1, 1 - width, -1 - width)
    for a in range(4):
        _slide(flat, (corner[a], inwards[a], min(width, height)), _TWO * curvature, line, following, edges, True)
        estimate[a] += edges[0]
    for a in range(4):
        if flat[corner[a]] > estimate[a] / np.float32(3):
            flat[corner[a]] = estimate[a] / np.float32(3)
