"""The standard deviation of white noise, estimated from the picture that holds it.

Donoho's estimate: the finest diagonal wavelet coefficients are almost all noise, and the median of their absolute
values hardly feels the few that are not. scikit-image's ``estimate_sigma`` is the same for a plane; here rows of one
pixel, planes without noise and volumes have an answer too.

References
----------
Donoho & Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUARTILE = 0.6744897501960817  # of the standard normal distribution: median(|noise|) / sigma


def estimate_noise_sigma(image: NDArray[Any]) -> float:
    """Estimate the standard deviation of white noise.

    Parameters
    ----------
    image
        A plane (Y, X), or planes (N, Y, X): each is estimated by itself, and the median of them is returned. Finite.

    Returns
    -------
    float
        In the unit of the image; 0 for a constant image or a single pixel.

    Notes
    -----
    Noise that neighbouring pixels share is underestimated, texture of a pixel or two is taken for noise.
    """
    if image.ndim == 2:
        return _of_plane(image)
    return float(np.median([_of_plane(plane) for plane in image.reshape(-1, *image.shape[-2:])]))


def noise_sigma_or_estimate(noise_sigma: float | None, image: NDArray[Any]) -> float:
    """Return the noise that was given, or else the estimate of `estimate_noise_sigma`."""
    return estimate_noise_sigma(image) if noise_sigma is None else float(noise_sigma)


def _of_plane(plane: NDArray[Any]) -> float:
    import pywt

    details = plane.astype(np.float64)
    largest = np.abs(details).max()
    for axis in (0, 1):
        if plane.shape[axis] > 1:
            details = pywt.dwt(details, "db2", axis=axis)[1]
    # Equal pixels give coefficients that are 0 but for rounding: saturated and masked areas tell nothing of the noise.
    details = np.abs(details)[np.abs(details) > 1e-13 * largest]
    return float(np.median(details)) / _QUARTILE if plane.size > 1 and details.size else 0.0
