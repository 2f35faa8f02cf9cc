"""Keep what is smaller than a disc and take away the rest: ImageJ's Top Hat.

Use it when small bright spots or thin lines sit on an uneven background. It does not denoise: what is left of the noise
is pushed above zero. With `dont_subtract` it gives the background itself (grayscale opening).

The pixels are those of ImageJ 1.54p, ``run("Top Hat...", "radius=2 stack")``, all of them, for 8-bit, 16-bit and float
images: the minimum over the disc, then the maximum of that, subtracted from the image. With `light` first the maximum,
then the minimum, and 8-bit and 16-bit results are shifted up to 255 and 65535, the new background. The disc takes in
what ImageJ's does, and pixels outside the image count as the nearest one inside. Every plane for itself. In macros:
``light``, ``don't``.

References
----------
ImageJ 1.54p, class ``ij.plugin.filter.RankFilters`` (M. Schmid).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.disc import reach, require_radius
from ..kernels.pixels import require_pixels
from ..kernels.rank import disc_extremes
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Top Hat...", "radius=2 stack")'
GRID: dict[str, tuple[Any, ...]] = {}


@dataclass(frozen=True)
class Settings:
    """Options of the top hat.

    Parameters
    ----------
    radius
        Of the disc, as ImageJ counts it: 0.5 is a cross of 5 pixels, 1 the square of 9, 2 a disc of 21 [px].
    light
        The background is light and the structures are dark.
    dont_subtract
        Return the background (the opened image; with `light` the closed one) instead of what it leaves.
    """

    radius: float = 2.0
    light: bool = False
    dont_subtract: bool = False

    def __post_init__(self) -> None:
        require_radius(self.radius, 1000.0)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]."""
    far = 2 * reach(settings.radius)
    return far, far


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the filtered image.

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
    opened = disc_extremes(pixels, settings.radius, largest=settings.light)
    opened = disc_extremes(opened, settings.radius, largest=not settings.light)
    if not settings.dont_subtract:
        np.subtract(pixels, opened, out=opened, dtype=np.float32)
        if settings.light and pixels.dtype.kind == "u":
            opened += np.float32(np.iinfo(pixels.dtype).max)
    return as_type(opened, pixels.dtype)
