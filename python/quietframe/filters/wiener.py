"""Pull each pixel towards its local mean, the more the less the neighbourhood varies beyond the noise: local Wiener.

Use it when a fast filter with one number to choose is wanted that smooths flat areas and leaves strong edges alone;
near edges the noise stays, and faint detail that varies less than the noise goes.

In the window around each pixel, with mean m, variance v (divided by the number of pixels) and noise variance s^2, the
result is ``m + max(v - s^2, 0) / v * (x - m)``. ``scipy.signal.wiener`` computes the same inside, but takes 0 for what
lies beyond the edges and divides by zero where a window is constant; here edge pixels are repeated and a constant
window gives its mean. Without --noise-sigma the noise is estimated from the finest wavelet coefficients, whereas scipy
takes the mean of all local variances, structure included. Computed in double precision.

References
----------
Lee 1980, "Digital image enhancement and noise filtering by use of local statistics", IEEE PAMI 2, 165-168.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_noise_sigma, require_odd
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
WINDOW = True
GRID = {"size": (3, 5, 7, 9, 13)}


@dataclass(frozen=True)
class Settings:
    """Settings of the local Wiener filter.

    Parameters
    ----------
    size
        Width of the square window, odd [px].
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    """

    size: int = 5
    noise_sigma: float | None = None

    def __post_init__(self) -> None:
        require_odd("size", self.size, 3, 1001)
        require_noise_sigma(self.noise_sigma)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far the window reaches along Y and X [px]."""
    return (settings.size // 2, settings.size // 2)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane.

    Parameters
    ----------
    image
        (Y, X).
    settings
        The window and the noise.

    Returns
    -------
    ndarray of float32, shape (Y, X)
    """
    from scipy.ndimage import uniform_filter

    plane = require_pixels(image, AXES).astype(np.float64)
    noise = noise_sigma_or_estimate(settings.noise_sigma, plane) ** 2
    # Variance is a small difference of large squares: without the offset most of that is gone.
    offset = plane.mean()
    plane -= offset
    mean = uniform_filter(plane, settings.size, mode="nearest")
    variance = uniform_filter(plane * plane, settings.size, mode="nearest")
    variance -= mean * mean
    weight = np.zeros_like(plane)
    np.divide(variance - noise, variance, out=weight, where=variance > noise)
    return np.asarray(mean + weight * (plane - mean) + offset, dtype=np.float32)
