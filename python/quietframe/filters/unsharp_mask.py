"""Sharpen by subtracting a blurred copy: ImageJ's Unsharp Mask.

Use it when a clean image shall look crisper. It is no denoiser: it amplifies noise by up to 1 / (1 - mask), and edges
get bright and dark rims; never measure brightness after it.

The pixels are those of ImageJ 1.54p, ``run("Unsharp Mask...", "radius=1 mask=0.60 stack")``:
``(image - mask * blurred) / (1 - mask)`` in single precision, the Gaussian's kernel ending at 0.01 of its middle for
all pixel types. 8-bit and 16-bit images are rounded half up and cut off at the ends of their range. Every plane for
itself.

References
----------
ImageJ 1.54p, class ``ij.plugin.filter.UnsharpMask``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.gaussian_line import LARGEST_SIGMA, blur_plane, reach
from ..kernels.options import require_number
from ..kernels.pixels import require_pixels
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Unsharp Mask...", "radius=1 mask=0.60 stack")'
GRID: dict[str, tuple[float, ...]] = {}

_ACCURACY = 0.01
_LARGEST_MASK = 0.99


@dataclass(frozen=True)
class Settings:
    """Options of the unsharp mask.

    Parameters
    ----------
    radius
        Standard deviation of the Gaussian that is subtracted [px]; ImageJ calls it radius (sigma).
    mask
        Weight of the blurred copy, 0 (no change) to 0.99.
    """

    radius: float = 1.0
    mask: float = 0.6

    def __post_init__(self) -> None:
        require_number("radius", self.radius, 0, LARGEST_SIGMA, "px")
        require_number("mask", self.mask, 0, _LARGEST_MASK)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]; None for wide blurs, whose lines are scaled down from their first pixel on."""
    far = reach(settings.radius, _ACCURACY)
    return None if far is None else (far, far)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the sharpened image.

    Parameters
    ----------
    image
        YX.
    settings
        Options.

    Returns
    -------
    ndarray
        Same shape; uint8, uint16 or float32, as the input.
    """
    pixels = require_pixels(image, AXES)
    mask = np.float32(settings.mask)
    sharp = blur_plane(pixels, settings.radius, settings.radius, _ACCURACY)
    np.multiply(sharp, mask, out=sharp)
    np.subtract(pixels.astype(np.float32, copy=False), sharp, out=sharp)
    np.divide(sharp, np.float32(1) - mask, out=sharp)
    return as_type(sharp, pixels.dtype)
