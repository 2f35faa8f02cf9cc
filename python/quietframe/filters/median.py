"""Replace each pixel by the median of the disc around it: ImageJ's Median.

Use it when single pixels are wrong by much (salt and pepper, cosmic rays, hot pixels) and edges shall stay sharp. It
rounds corners and removes lines and points thinner than half the disc; on Gaussian noise it is a little worse than the
mean of the same disc.

The pixels are those of ImageJ 1.54p, ``run("Median...", "radius=2 stack")``, all of them, for 8-bit, 16-bit and float
images. The disc takes in what ImageJ's does, and pixels outside the image count as the nearest one inside: a median is
always a value of the image. ImageJ's dialog ends at 100 px, and so does this. The time grows with the radius, not with
its square. Every plane for itself; "Median 3D" is `median_3d`.

References
----------
ImageJ 1.54p, class ``ij.plugin.filter.RankFilters`` (M. Schmid).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..kernels.disc import reach, require_radius
from ..kernels.disc_median import disc_medians
from ..kernels.pixels import require_pixels
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Median...", "radius=2 stack")'
GRID: dict[str, tuple[Any, ...]] = {"radius": (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)}


@dataclass(frozen=True)
class Settings:
    """Options of the median.

    Parameters
    ----------
    radius
        Of the disc, as ImageJ counts it: 0.5 is a cross of 5 pixels, 1 the square of 9, 2 a disc of 21 [px].
    """

    radius: float = 2.0

    def __post_init__(self) -> None:
        require_radius(self.radius, 100.0)


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
    return as_type(disc_medians(pixels, settings.radius), pixels.dtype)
