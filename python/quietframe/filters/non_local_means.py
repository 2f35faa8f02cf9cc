"""Average pixels whose neighbourhoods look alike, wherever in the search window they lie: non-local means.

Use it when structures repeat (filaments, membranes, grains, long edges) and noise is white; unique faint detail is
averaged with what only resembles it, and correlated noise is taken for structure.

Each pixel becomes the mean of the pixels within --distance along each axis and inside the image, weighted by
``exp(-max(d / s^2 - 2, 0) / h^2)``, where d is the mean squared difference of the patches around both, all pixels of a
patch counting alike, and s the standard deviation of the noise. For the patches the image is continued by mirroring.
Weights below 1e-7 count as 0. In single precision, of differences; on all processors. Where the noise is 0 the image
comes back as it is. The time grows with (2 distance + 1)^2, or cubed in three dimensions.

It is not ``skimage.restoration.denoise_nl_means``: the fast mode of that (0.26) compares patches one pixel narrower
than asked, half a pixel beside the pixel, so that a patch of 1 compares nothing; searches the mirrored image too; and
runs on one processor.

References
----------
Buades, Coll & Morel 2005, "A non-local algorithm for image denoising", CVPR.
Darbon, Cunha, Chan, Osher & Jensen 2008, "Fast nonlocal filtering applied to electron cryomicroscopy", ISBI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.bands import over_bands
from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_dimensions, require_noise_sigma, require_number, require_odd, require_whole
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
GRID = {"h": (0.4, 0.6, 0.8, 1.0), "patch": (3, 5)}


@dataclass(frozen=True)
class Settings:
    """Settings of non-local means.

    Parameters
    ----------
    h
        How different patches may be, in units of the noise: 0.4 is strict, 1 averages more.
    patch
        Width of the patches that are compared, odd [px].
    distance
        How far similar patches are looked for along each axis [px].
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    dimensions
        2 for plane by plane, 3 for whole volumes.
    """

    h: float = 0.7
    patch: int = 3
    distance: int = 8
    noise_sigma: float | None = None
    dimensions: int = 2

    def __post_init__(self) -> None:
        require_number("h", self.h, 0.01, 100.0)
        require_odd("patch", self.patch, 1, 101)
        require_whole("distance", self.distance, 1, 200, "px")
        require_noise_sigma(self.noise_sigma)
        require_dimensions(self.dimensions)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far the search and the patches reach along each axis [px]."""
    return (settings.distance + settings.patch // 2,) * settings.dimensions


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane or one volume.

    Parameters
    ----------
    image
        (Y, X), or (Z, Y, X) with three dimensions.
    settings
        Patches, search and noise.

    Returns
    -------
    ndarray of float32, of the same shape
    """
    from ..kernels.patch_means import mean_rows

    pixels = require_pixels(image, AXES if settings.dimensions == 2 else "ZYX").astype(np.float64)
    noise = noise_sigma_or_estimate(settings.noise_sigma, pixels)
    if noise == 0:
        return pixels.astype(np.float32)
    offset = pixels.mean()
    volume = ((pixels - offset) / noise).astype(np.float32).reshape(-1, *pixels.shape[-2:])
    deep = settings.dimensions == 3
    half = np.array([settings.patch // 2 if deep else 0, settings.patch // 2])
    reach = np.array([settings.distance if deep else 0, settings.distance])
    padded = np.pad(volume, ((half[0], half[0]), (half[1], half[1]), (half[1], half[1])), mode="reflect")
    out = np.empty_like(volume)
    over_bands(
        lambda start, stop: mean_rows(padded, half, reach, settings.h, out, start, stop),
        volume.shape[0] * volume.shape[1],
    )
    return np.asarray(out.reshape(pixels.shape) * noise + offset, dtype=np.float32)
