"""Replace each pixel by the smallest value in the disc around it: ImageJ's Minimum.

Use it when bright structures shall be made narrower (grayscale erosion), or as a step of your own filters. It is no
denoiser: noise makes the result darker the wider the disc is.

The pixels are those of ImageJ 1.54p, ``run("Minimum...", "radius=2 stack")``, all of them, for 8-bit, 16-bit and float
images. The disc takes in what ImageJ's does, and pixels outside the image count as the nearest one inside. Every plane
for itself.

References
----------
ImageJ 1.54p, class ``ij.plugin.filter.RankFilters`` (M. Schmid).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..kernels.disc import reach, require_radius
from ..kernels.pixels import require_pixels
from ..kernels.rank import disc_extremes
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Minimum...", "radius=2 stack")'
GRID: dict[str, tuple[Any, ...]] = {}


@dataclass(frozen=True)
class Settings:
    """Options of the minimum.

    Parameters
    ----------
    radius
        Of the disc, as ImageJ counts it: 0.5 is a cross of 5 pixels, 1 the square of 9, 2 a disc of 21 [px].
    """

    radius: float = 2.0

    def __post_init__(self) -> None:
        require_radius(self.radius, 1000.0)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]."""
    far = reach(settings.radius)
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
    return as_type(disc_extremes(pixels, settings.radius, largest=False), pixels.dtype)
