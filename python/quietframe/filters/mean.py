"""Replace each pixel by the mean of the disc around it: ImageJ's Mean.

Use it when the noise is in every pixel and structures are wider than the disc. It averages noise away as well as any
filter of that size, and blurs edges and points with it.

The pixels are those of ImageJ 1.54p, ``run("Mean...", "radius=2 stack")``, all of them, for 8-bit, 16-bit and float
images: the sums run along each row in double precision, in ImageJ's order. 8-bit and 16-bit images are rounded half up.
The disc takes in what ImageJ's does, and pixels outside the image count as the nearest one inside. A plane that is
worked on in tiles starts the sums anew in each, which may change the last bit of a float pixel. Every plane for itself;
"Mean 3D" is `mean_3d`.

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
IMAGEJ = 'run("Mean...", "radius=2 stack")'
GRID: dict[str, tuple[Any, ...]] = {"radius": (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)}


@dataclass(frozen=True)
class Settings:
    """Options of the mean.

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
    return as_type(disc_means(pixels, settings.radius), pixels.dtype)
