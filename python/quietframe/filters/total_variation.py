"""Take away variation while edges stay sharp: total variation (Rudin-Osher-Fatemi, by Chambolle's algorithm).

Use it when the picture consists of fairly even areas with sharp borders; slow shading turns into steps, and texture is
lost.

The result is the u that minimises ``|u - y|^2 / (2 weight s) + TV(u)``, with s the standard deviation of the noise: in
units of the noise, one weight suits every camera. It is computed by ``skimage.restoration.denoise_tv_chambolle`` on
``(y - mean) / s``, in double precision. The iteration ends when the energy changes by less than --tolerance of its
first value. Where the noise is 0 the image comes back as it is.

References
----------
Rudin, Osher & Fatemi 1992, "Nonlinear total variation based noise removal algorithms", Physica D 60, 259-268.
Chambolle 2004, "An algorithm for total variation minimization and applications", Journal of Mathematical Imaging and
Vision 20, 89-97.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_dimensions, require_noise_sigma, require_number, require_whole
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
GRID = {"weight": (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)}


@dataclass(frozen=True)
class Settings:
    """Settings of the total variation filter.

    Parameters
    ----------
    weight
        How much variation costs, in units of the noise: 0.5 is little, 2 is much.
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    dimensions
        2 for plane by plane, 3 for whole volumes.
    iterations
        Most iterations.
    tolerance
        Change of the energy, relative to its first value, at which the iteration ends.
    """

    weight: float = 1.0
    noise_sigma: float | None = None
    dimensions: int = 2
    iterations: int = 200
    tolerance: float = 2e-4

    def __post_init__(self) -> None:
        require_number("weight", self.weight, 0.0, 1e6)
        require_noise_sigma(self.noise_sigma)
        require_dimensions(self.dimensions)
        require_whole("iterations", self.iterations, 1, 1_000_000)
        require_number("tolerance", self.tolerance, 0.0, 1.0)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return None: the energy is minimised over the whole image."""
    return None


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane or one volume.

    Parameters
    ----------
    image
        (Y, X), or (Z, Y, X) with three dimensions.
    settings
        The weight and the noise.

    Returns
    -------
    ndarray of float32, of the same shape
    """
    from skimage.restoration import denoise_tv_chambolle

    pixels = require_pixels(image, AXES if settings.dimensions == 2 else "ZYX").astype(np.float64)
    noise = noise_sigma_or_estimate(settings.noise_sigma, pixels)
    if noise == 0 or settings.weight == 0:
        return pixels.astype(np.float32)
    offset = pixels.mean()
    result = denoise_tv_chambolle(
        (pixels - offset) / noise, settings.weight, eps=settings.tolerance, max_num_iter=settings.iterations
    )
    return np.asarray(result * noise + offset, dtype=np.float32)
