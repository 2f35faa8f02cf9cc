"""Replace each pixel by the median of the 3 x 3 square around it: ImageJ's Despeckle.

Use it when single pixels are wrong (salt and pepper) and everything wider shall stay. It is `median` of radius 1, and
has no options; lines of one pixel's width go.

The pixels are those of ImageJ 1.54p, ``run("Despeckle", "stack")``, all of them, for 8-bit, 16-bit and float images.
Pixels outside the image count as the nearest one inside. Every plane for itself.

References
----------
ImageJ 1.54p, class ``ij.plugin.filter.RankFilters`` (M. Schmid).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..kernels.disc_median import disc_medians
from ..kernels.pixels import require_pixels
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Despeckle", "stack")'
GRID: dict[str, tuple[Any, ...]] = {}

_RADIUS = 1.0


@dataclass(frozen=True)
class Settings:
    """Despeckle has no options."""


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]."""
    return 1, 1


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the filtered image.

    Parameters
    ----------
    image
        YX.
    settings
        None there are.

    Returns
    -------
    ndarray
        Same shape; uint8, uint16 or float32, as the input.
    """
    pixels = require_pixels(image, AXES)
    return as_type(disc_medians(pixels, _RADIUS), pixels.dtype)
