"""Show how much the pixels vary in the disc around each one: ImageJ's Variance.

Use it when you want to see where structure or noise is: it is no denoiser, but a map [unit of the image, squared]. The
mean squared deviation is divided by n, not n - 1.

The pixels are those of ImageJ 1.54p, ``run("Variance...", "radius=2 stack")``, all of them, for 8-bit, 16-bit and float
images: sums of values and of squares run along each row in double precision, in ImageJ's order, and what comes out
below 0 by rounding is 0. The result has the type of the image, so that 8-bit and 16-bit ones are cut off at 255 and
65535: convert to float first. The disc takes in what ImageJ's does, and pixels outside the image count as the nearest
one inside. A float image whose values are far from 0 compared with their spread loses digits, as in ImageJ; one that is
worked on in tiles starts the sums anew in each. Every plane for itself.

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
from ..kernels.rank import disc_means
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Variance...", "radius=2 stack")'
GRID: dict[str, tuple[Any, ...]] = {}


@dataclass(frozen=True)
class Settings:
    """Options of the variance.

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
    return as_type(disc_means(pixels, settings.radius, variance=True), pixels.dtype)
