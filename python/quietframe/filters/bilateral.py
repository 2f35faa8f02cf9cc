"""Average the neighbours that are near and of similar brightness: the bilateral filter.

Use it when edges must stay sharp and faint texture may go: cartoon-like objects, masks before segmentation. In strong
noise it leaves single bright and dark pixels, which resemble none of their neighbours, and it flattens gradients into
steps; NLM and BM3D keep more.

In the window around each pixel x the result is ``x + sum w (y - x) / sum w`` over its pixels y, with
``w = exp(-distance^2 / (2 sigma_space^2)) exp(-(y - x)^2 / (2 sigma_range^2))``. Edge pixels are repeated outward.
Without --sigma-range it is --strength times the noise. Computed in single precision. scikit-image's
``denoise_bilateral`` (0.26) is not used: it takes 10 times as long, and its weights of distance are not symmetric.

References
----------
Tomasi & Manduchi 1998, "Bilateral filtering for gray and color images", ICCV, equations 1-6; the width in units of the
noise: Zhang & Gunturk 2008, "Multiresolution bilateral filtering for image denoising", IEEE TIP 17, section II.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.edge_preserving import bilateral
from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_noise_sigma, require_number, require_odd
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
GRID = {"sigma_space": (1.0, 1.5, 2.0, 3.0), "strength": (1.5, 2.0, 3.0, 4.0)}

_REACH = 2.5  # half width of the window in sigma_space


@dataclass(frozen=True)
class Settings:
    """Options of the bilateral filter.

    Parameters
    ----------
    sigma_space
        Standard deviation of the weights of distance [px].
    strength
        Standard deviation of the weights of difference, as a multiple of the noise.
    sigma_range
        The same in the unit of the image, instead of --strength.
    window
        Width of the square window, odd [px]; when not given, 2.5 sigma_space to each side.
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    """

    sigma_space: float = 2.0
    strength: float = 3.0
    sigma_range: float | None = None
    window: int | None = None
    noise_sigma: float | None = None

    def __post_init__(self) -> None:
        require_number("sigma_space", self.sigma_space, 0.1, 1000 if self.window else 50, "px")
        require_number("strength", self.strength, 0, 1000)
        if self.sigma_range is not None:
            require_number("sigma_range", self.sigma_range, 0, 1e30)
        if self.window is not None:
            require_odd("window", self.window, 1, 255)
        require_noise_sigma(self.noise_sigma)


def _half(settings: Settings) -> int:
    return settings.window // 2 if settings.window else math.ceil(_REACH * settings.sigma_space)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far the window reaches along Y and X [px]."""
    return (_half(settings), _half(settings))


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
        float32, same shape. Without noise (0 given, or estimated of a constant image) the pixels themselves.
    """
    pixels = require_pixels(image, AXES).astype(np.float32)
    width = settings.sigma_range
    if width is None:
        width = settings.strength * noise_sigma_or_estimate(settings.noise_sigma, pixels)
    # Below the smallest steps between values of the image nothing is similar to anything but itself.
    if width <= float(np.spacing(np.abs(pixels).max())) / 16:
        return pixels
    return bilateral(pixels, _half(settings), settings.sigma_space, width)
