"""Average the neighbours that speckle of the same mean explains, and keep bright targets: the improved sigma filter.

Use it when noise grows in proportion to the signal, as speckle does in intensities of laser light, ultrasound, OCT and
radar; for additive or photon noise use lee-sigma or another filter. Values must be intensities without an offset.

1. Targets: a pixel not below the 98th percentile of the plane, with at least --target-count such pixels in the 3x3
   window around it, itself included, stays as it is, and so do these (count 0 keeps none).
2. The mean is estimated from the 3x3 window: ``x = m + max(v - (m s)^2, 0) / (1 + s^2) / v * (z - m)`` with the pixel
   z, window mean m, window variance v, and s^2 = 1 / looks.
3. Pixels of the large window between I1 x and I2 x are selected, and step 2 is done with these, and with the s that
   speckle has between I1 and I2. Where none is selected (negative pixels), the pixel stays.

I1 and I2 are such that a share --xi of all speckle lies between them, with mean 1, so that the filter does not darken.
The paper tabulates them; here they are solved for from the gamma distribution of intensity with L looks, F_L:
``F_L(I2) - F_L(I1) = xi = F_(L+1)(I2) - F_(L+1)(I1)``, for every L and xi. Within 0.01 of the table for L = 1 to 4 and
xi = 0.5 to 0.9. Pixels beyond the edges do not count.

References
----------
Lee, Wen, Ainsworth, Chen & Chen 2009, "Improved sigma filter for speckle filtering of SAR imagery", IEEE TGRS 47,
202-213.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.bands import over_bands
from ..kernels.options import require_number, require_odd, require_whole
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "any"
GRID = {"size": (5, 7, 9, 11), "looks": (1.0, 2.0, 4.0, 8.0, 16.0)}


@dataclass(frozen=True)
class Settings:
    """Settings of the improved sigma filter.

    Parameters
    ----------
    looks
        How strong the speckle is: its variance is the squared mean divided by this number.
    xi
        Share of the speckle that the range of selected neighbours holds.
    size
        Width of the square window, odd [px].
    target_count
        Pixels among the brightest 2 % in a 3x3 window that make a target, which is kept; 0 keeps none.
    """

    looks: float = 1.0
    xi: float = 0.9
    size: int = 9
    target_count: int = 5

    def __post_init__(self) -> None:
        require_number("looks", self.looks, 0.1, 1e4)
        require_number("xi", self.xi, 0.01, 0.99)
        require_odd("size", self.size, 3, 1001)
        require_whole("target_count", self.target_count, 0, 9)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return None: the brightest 2 % are those of the whole plane; the window's reach [px] where no target is kept."""
    return None if settings.target_count else (settings.size // 2, settings.size // 2)


def sigma_range(looks: float, xi: float) -> tuple[float, float, float]:
    """Return the ends of the sigma range in units of the mean, and the standard deviation of the speckle in it."""
    from scipy.optimize import brentq
    from scipy.special import gammainc, gammaincinv

    def ends(below: float) -> tuple[float, float]:
        return gammaincinv(looks, below), gammaincinv(looks, below + xi)

    def excess(below: float) -> float:
        low, high = ends(below)
        return float(gammainc(looks + 1, high) - gammainc(looks + 1, low) - xi)

    low, high = ends(brentq(excess, 0.0, (1.0 - xi) * (1.0 - 1e-9), xtol=1e-14))
    second = (looks + 1) / looks * (gammainc(looks + 2, high) - gammainc(looks + 2, low)) / xi
    return low / looks, high / looks, float(np.sqrt(max(second - 1.0, 0.0)))


def _targets(plane: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    from scipy.ndimage import convolve, maximum_filter

    bright = plane >= np.percentile(plane, 98)
    if count == 0 or bright.all():
        return np.zeros(plane.shape, dtype=bool)
    crowd = convolve(bright.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant")
    return np.asarray(bright & maximum_filter(bright & (crowd >= count), 3, mode="constant"))


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane.

    Parameters
    ----------
    image
        (Y, X), intensities.
    settings
        The speckle and the window.

    Returns
    -------
    ndarray of float32, shape (Y, X)
    """
    from ..kernels.sigma_window import speckle_rows

    plane = np.ascontiguousarray(require_pixels(image, AXES), dtype=np.float32)
    low, high, inside = sigma_range(settings.looks, settings.xi)
    model = np.array([low, high, 1 / settings.looks, inside**2])
    half = settings.size // 2
    kept = _targets(plane, settings.target_count)
    out = np.empty_like(plane)
    over_bands(lambda start, stop: speckle_rows(plane, half, model, kept, out, start, stop), len(out))
    return out
