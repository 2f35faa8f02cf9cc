"""Smooth by a Gaussian: ImageJ's Gaussian Blur.

Use it when structures are wider than the noise's grain and a linear filter is wanted: brightness sums are kept, and
what it does to a spectrum or a width is known exactly. It blurs edges and points by the same width as the noise.

The pixels are those of ImageJ 1.54p, ``run("Gaussian Blur...", "sigma=2 stack")``: the kernel ends at 0.002 of its
middle for 8-bit images and at 0.0002 for others, bent down to zero by a parabola; pixels outside the image count as
the nearest one inside; rows are smoothed before columns, all in single precision; above sigma 8.5 each line is scaled
down, smoothed and scaled up. 8-bit and 16-bit images are rounded half up. Sigma 0 changes nothing. Every plane for
itself; "Gaussian Blur 3D" is `gaussian_blur_3d`.

References
----------
ImageJ 1.54p, class ``ij.plugin.filter.GaussianBlur`` (M. Schmid, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..kernels.gaussian_line import LARGEST_SIGMA, blur_plane, reach
from ..kernels.options import require_number
from ..kernels.pixels import require_pixels
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Gaussian Blur...", "sigma=2 stack")'
GRID = {"sigma": (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)}


@dataclass(frozen=True)
class Settings:
    """Options of the Gaussian blur.

    Parameters
    ----------
    sigma
        Standard deviation of the Gaussian [px]; ImageJ calls it sigma (radius).
    """

    sigma: float = 2.0

    def __post_init__(self) -> None:
        require_number("sigma", self.sigma, 0, LARGEST_SIGMA, "px")


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]; None for wide blurs, whose lines are scaled down from their first pixel on."""
    far = reach(settings.sigma)
    return None if far is None else (far, far)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the smoothed image.

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
    return as_type(blur_plane(pixels, settings.sigma, settings.sigma), pixels.dtype)
