"""Smooth a stack by a Gaussian in three directions: ImageJ's Gaussian Blur 3D.

Use it when the planes lie so close that a structure is seen in several of them; z may have a width of its own, for
planes that are further apart than pixels. Never across time: what moves is smeared.

The pixels are those of ImageJ 1.54p, ``run("Gaussian Blur 3D...", "x=2 y=2 z=2")``: every plane as by
`gaussian_blur`, rounded to the pixel type of the stack, then the same lines along z, rounded again. What lies outside
the stack counts as the nearest plane. A width of 0 leaves that direction alone.

References
----------
ImageJ 1.54p, classes ``ij.plugin.GaussianBlur3D`` and ``ij.plugin.filter.GaussianBlur``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.gaussian_line import BYTE_ACCURACY, FINE_ACCURACY, LARGEST_SIGMA, blur_lines, blur_plane, reach
from ..kernels.options import require_number
from ..kernels.pixels import require_pixels
from ..kernels.rounding import as_type

AXES = "ZYX"
NOISE = "any"
IMAGEJ = 'run("Gaussian Blur 3D...", "x=2 y=2 z=2")'
GRID: dict[str, tuple[float, ...]] = {"x": (0.5, 1.0, 2.0), "y": (0.5, 1.0, 2.0), "z": (0.0, 0.5, 1.0)}


@dataclass(frozen=True)
class Settings:
    """Options of the Gaussian blur in three directions.

    Parameters
    ----------
    x
        Standard deviation along rows [px].
    y
        Standard deviation along columns [px].
    z
        Standard deviation across planes [planes].
    """

    x: float = 2.0
    y: float = 2.0
    z: float = 2.0

    def __post_init__(self) -> None:
        for name, sigma in (("x", self.x), ("y", self.y), ("z", self.z)):
            require_number(name, sigma, 0, LARGEST_SIGMA, "px")


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks along z, y, x [px]; None where one of the widths is above 8.5."""
    far = [reach(sigma) for sigma in (settings.z, settings.y, settings.x)]
    return None if None in far else tuple(value for value in far if value is not None)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the smoothed stack.

    Parameters
    ----------
    image
        ZYX.
    settings
        Options.

    Returns
    -------
    ndarray
        Same shape; uint8, uint16 or float32, as the input.
    """
    pixels = require_pixels(image, AXES)
    result = np.empty(pixels.shape, dtype=np.float32)
    for plane, smooth in zip(pixels, result, strict=True):
        # The rounded plane is what the lines along z are made of.
        smooth[...] = as_type(blur_plane(plane, settings.x, settings.y), pixels.dtype)
    accuracy = BYTE_ACCURACY if pixels.dtype == np.uint8 else FINE_ACCURACY
    blur_lines(result.reshape(len(result), -1), 0, settings.z, accuracy)
    return as_type(result, pixels.dtype)
