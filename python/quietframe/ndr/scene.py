"""Draw a scene to simulate: filaments (smooth random walks) or blobs (Gaussian spots), where no micrograph is at hand.

What is drawn has no noise and no unit; `simulate.scene_from_image` scales it to electrons. A drawn scene has more empty
background and sharper structure than most micrographs: it is a first look, not a substitute for a real image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import OptionError, unknown

SMALLEST, LARGEST = 16, 8192
"""Allowed edges of a drawn scene [px]."""

_STEP = 0.5
"""Distance of two points of a filament [px]: dense enough that the blurred line has no beads."""

_PERSISTENCE = 60.0
"""Length over which a filament turns by about one radian [px]."""

_BLUR = 1.3
"""Standard deviation of the blur of a filament [px]: about that of a well sampled microscope."""


def draw_scene(kind: str, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a square scene.

    Parameters
    ----------
    kind
        filaments or blobs.
    size
        Edge [px], 16 to 8192.
    rng
        Source of all randomness: equal seeds draw equal scenes.

    Returns
    -------
    ndarray of shape (size, size), float32
        Light in arbitrary units, >= 0; 0 where there is nothing.

    Raises
    ------
    OptionError
        When `kind` is unknown or `size` is out of range.
    """
    if kind not in _SCENES:
        raise unknown("scene", kind, _SCENES)
    if not SMALLEST <= size <= LARGEST:
        raise OptionError(f"the size of a drawn scene is {SMALLEST} to {LARGEST} pixels; got {size}")
    return np.asarray(_SCENES[kind](size, rng), np.float32)


def _filaments(size: int, rng: np.random.Generator) -> NDArray[Any]:
    """Draw walks whose direction changes a little at every step, one after the other."""
    plane = np.zeros((size, size))
    steps = round(1.5 * size / _STEP)
    for _ in range(max(3, size // 16)):
        turns = rng.standard_normal(steps) * np.sqrt(_STEP / _PERSISTENCE)
        direction = rng.uniform(0.0, 2.0 * np.pi) + np.cumsum(turns)
        start = rng.uniform(0.0, size, 2)
        y = start[0] + _STEP * np.cumsum(np.sin(direction))
        x = start[1] + _STEP * np.cumsum(np.cos(direction))
        _add_points(plane, y, x, rng.lognormal(0.0, 0.5))
    return np.asarray(ndimage.gaussian_filter(plane, _BLUR, mode="constant")).clip(0.0)


def _add_points(plane: NDArray[Any], y: NDArray[Any], x: NDArray[Any], light: float) -> None:
    """Share each point's light among its four pixels, by distance; what lies outside is lost."""
    height, width = plane.shape
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    for down in (0, 1):
        for right in (0, 1):
            row, column = top + down, left + right
            weight = light * (1.0 - np.abs(y - row)) * (1.0 - np.abs(x - column))
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            np.add.at(plane, (row[inside], column[inside]), weight[inside])


def _blobs(size: int, rng: np.random.Generator) -> NDArray[Any]:
    """Draw Gaussian spots of several sizes and lights, each out to four standard deviations."""
    plane = np.zeros((size, size))
    for _ in range(max(3, size * size // 1200)):
        y, x = rng.uniform(0.0, size, 2)
        sigma, height = rng.uniform(1.5, 5.0), rng.lognormal(0.0, 0.5)
        rows = np.arange(max(0, int(y - 4 * sigma)), min(size, int(y + 4 * sigma) + 2))
        columns = np.arange(max(0, int(x - 4 * sigma)), min(size, int(x + 4 * sigma) + 2))
        down = np.exp(-((rows - y) ** 2) / (2.0 * sigma**2))
        across = np.exp(-((columns - x) ** 2) / (2.0 * sigma**2))
        plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += height * np.outer(down, across)
    return plane


_SCENES = {"filaments": _filaments, "blobs": _blobs}
