"""Smooth by a penalty on the squared gradient, and undo a Gaussian blur at the same time if asked: Tikhonov.

Use it when smooth structures are to be shown, or gently sharpened, by one fast linear step that works for every
brightness; edges are smoothed like everything else.

The result is the x that minimises ``|h * x - y|^2 + weight |gradient x|^2``. In the cosine transform, which continues
the image by its mirror image, that is ``H Y / (H^2 + weight L)`` at every frequency w [rad/px], with
``H = exp(-(deconvolution_sigma w)^2 / 2)``, 1 without deconvolution, and L = sum over axes of 2 - 2 cos w. Exact, in
double precision; the mean of the image stays. Pixels count as equally far apart along all axes. It is linear: variance
stabilisation neither helps nor is needed.

References
----------
Tikhonov & Arsenin 1977, "Solutions of ill-posed problems", Winston.
Roels et al. 2020, "An interactive ImageJ plugin for semi-automated image denoising in electron microscopy", Nature
Communications 11, 771 (DenoisEM, where it is one of eight methods).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.options import require_dimensions, require_number
from ..kernels.pixels import require_pixels
from ..kernels.spectra import filter_even, gaussian_transfer, laplacian_transfer

AXES = "YX"
NOISE = "any"
GRID = {"weight": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)}


@dataclass(frozen=True)
class Settings:
    """Settings of Tikhonov's filter.

    Parameters
    ----------
    weight
        Weight of the squared gradient [px^2]: without deconvolution, structures narrower than its square root go.
    deconvolution_sigma
        Standard deviation of the Gaussian blur to undo [px]; 0 only smooths.
    dimensions
        2 for plane by plane, 3 for whole volumes.
    """

    weight: float = 1.0
    deconvolution_sigma: float = 0.0
    dimensions: int = 2

    def __post_init__(self) -> None:
        require_number("weight", self.weight, 0.0, 1e12, "px^2")
        require_number("deconvolution_sigma", self.deconvolution_sigma, 0.0, 1000.0, "px")
        require_dimensions(self.dimensions)
        # Without a penalty nothing would bound the frequencies that the blur has removed.
        if self.deconvolution_sigma > 0:
            require_number("weight, with deconvolution,", self.weight, 1e-12, 1e12, "px^2")


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return None: every pixel depends on the whole image."""
    return None


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane or one volume.

    Parameters
    ----------
    image
        (Y, X), or (Z, Y, X) with three dimensions.
    settings
        The weight and the blur.

    Returns
    -------
    ndarray of float32, of the same shape
    """
    pixels = require_pixels(image, AXES if settings.dimensions == 2 else "ZYX").astype(np.float64)
    offset = pixels.mean()
    blur = gaussian_transfer(pixels.shape, settings.deconvolution_sigma)
    gain = blur / (blur**2 + settings.weight * laplacian_transfer(pixels.shape))
    return np.asarray(filter_even(pixels - offset, gain) + offset, dtype=np.float32)
