"""ImageJ's round neighbourhoods: which pixels a radius takes in, and what lies outside the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .options import require_number

SMALLEST_RADIUS = 0.5
"""The radius of the smallest disc, a pixel and its four neighbours [px]."""


def require_radius(radius: float, largest: float) -> None:
    """Refuse a radius that ImageJ refuses, and those below 0.5 px, which it takes for 0.5.

    Raises
    ------
    OptionError
        With the radius and the range.
    """
    require_number("radius", radius, SMALLEST_RADIUS, largest, "px")


def half_widths(radius: float) -> NDArray[np.int64]:
    """Return how far the disc reaches to each side in each of its rows [px].

    Parameters
    ----------
    radius
        As ImageJ counts it: 0.5 is a cross of 5 pixels, 1 the square of 9, 2 a disc of 21, 3 of 37 [px].

    Returns
    -------
    ndarray
        2 R + 1 rows from top to bottom; the disc has R pixels to each side, in both directions.
    """
    if 1.5 <= radius < 1.75:
        radius = 1.75
    elif 2.5 <= radius < 2.85:
        radius = 2.85
    square = int(radius * radius) + 1
    far = int(math.sqrt(square + 1e-10))
    return np.array([int(math.sqrt(square - y * y + 1e-10)) for y in range(-far, far + 1)], dtype=np.int64)


def reach(radius: float) -> int:
    """Return how far the disc reaches [px]."""
    return len(half_widths(radius)) // 2


def pad_edges(pixels: NDArray[Any], far: int, *, negative: bool = False) -> NDArray[np.float32]:
    """Return a plane in single precision with its edge pixels repeated `far` times on each side.

    Parameters
    ----------
    pixels
        YX; uint8, uint16 or float32.
    far
        Pixels to add on each side.
    negative
        Change the signs.
    """
    height, width = pixels.shape
    padded = np.empty((height + 2 * far, width + 2 * far), dtype=np.float32)
    inside = padded[far : far + height, far : far + width]
    if negative:
        np.multiply(pixels, np.float32(-1), out=inside, dtype=np.float32)
    else:
        inside[...] = pixels
    rows = padded[far : far + height]
    rows[:, :far] = inside[:, :1]
    rows[:, far + width :] = inside[:, -1:]
    padded[:far] = rows[:1]
    padded[far + height :] = rows[-1:]
    return padded
