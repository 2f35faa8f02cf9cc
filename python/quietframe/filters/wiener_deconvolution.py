"""Undo the blur of a known point spread function as far as noise allows: Wiener deconvolution by frequencies.

Use it when the blur is known and the same everywhere; fine detail comes back and noise grows with it, bright edges
may ring, values may become negative. It assumes white noise of one strength; do not stabilise the variance, which
would bend the blur.

With H the transfer function of the blur, Y the spectrum of the image, and L = sum of 2 - 2 cos w that of the negative
Laplacian, the result is ``conj(H) Y / (|H|^2 + balance L^2)``: the minimum of ``|h * x - y|^2 + balance |laplacian
x|^2``, which is ``skimage.restoration.wiener`` with its default regularisation. The image is continued by its mirror
image, so that opposite edges do not meet. The Gaussian is ``H = exp(-(sigma w)^2 / 2)``; a picture of the PSF is
centred on its middle pixel and divided by its sum. The mean of the image stays. Double precision.

References
----------
Hunt 1973, "The application of constrained least squares estimation to image restoration by digital computer", IEEE
Transactions on Computers C-22, 805-812.
Orieux, Giovannelli & Rodet 2010, "Bayesian estimation of regularization and point spread function parameters for
Wiener-Hunt deconvolution", JOSA A 27, 1593-1607.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images import read_image
from ..kernels.bands import threads_here
from ..kernels.options import require_number
from ..kernels.pixels import require_pixels
from ..kernels.spectra import filter_even, gaussian_transfer, laplacian_transfer

AXES = "YX"
NOISE = "any"
# The balance cannot be chosen by comparing with the noisy image, which is blurred.
GRID: dict[str, tuple[float, ...]] = {}


@dataclass(frozen=True)
class Settings:
    """Settings of the deconvolution.

    Parameters
    ----------
    psf_sigma
        Standard deviation of the Gaussian point spread function [px]; not used with a picture of it.
    balance
        How much roughness is penalised: 0.001 for little noise, 0.1 and more for much.
    psf
        A picture of the point spread function, odd height and width, its centre in the middle; without noise.
    """

    psf_sigma: float = 1.5
    balance: float = 0.01
    psf: str | None = None

    def __post_init__(self) -> None:
        require_number("psf_sigma", self.psf_sigma, 0.0, 1000.0, "px")
        require_number("balance", self.balance, 1e-12, 1e12)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return None: every pixel depends on the whole plane."""
    return None


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Deconvolve one plane.

    Parameters
    ----------
    image
        (Y, X).
    settings
        The point spread function and the balance.

    Returns
    -------
    ndarray of float32, shape (Y, X)

    Raises
    ------
    InputError
        When the picture of the point spread function has no middle, is not finite, or sums to nothing.
    """
    plane = require_pixels(image, AXES).astype(np.float64)
    offset = plane.mean()
    if settings.psf is None:
        blur = gaussian_transfer(plane.shape, settings.psf_sigma)
        gain = blur / (blur**2 + settings.balance * laplacian_transfer(plane.shape) ** 2)
        restored = filter_even(plane - offset, gain)
    else:
        restored = _with_picture(plane - offset, _read_psf(settings.psf), settings.balance)
    return np.asarray(restored + offset, dtype=np.float32)


def _read_psf(path: str) -> NDArray[np.float64]:
    psf = np.squeeze(read_image(Path(path)).array).astype(np.float64)
    if psf.ndim != 2 or psf.shape[0] % 2 == 0 or psf.shape[1] % 2 == 0:
        raise InputError(f"{path}: a point spread function has odd height and width; got shape {psf.shape}")
    if not np.isfinite(psf).all() or psf.sum() <= 0:
        raise InputError(f"{path}: a point spread function is finite and has a positive sum; got {psf.sum():g}")
    return np.asarray(psf / psf.sum())


def _with_picture(plane: NDArray[np.float64], psf: NDArray[np.float64], balance: float) -> NDArray[np.float64]:
    """Deconvolve the plane and its mirror images, which are periodic together; return the plane."""
    from scipy import fft

    height, width = plane.shape
    tiled = np.pad(plane, ((0, height), (0, width)), mode="symmetric")
    kernel = np.zeros(tiled.shape)
    rows = np.arange(psf.shape[0])[:, None] - psf.shape[0] // 2
    columns = np.arange(psf.shape[1])[None, :] - psf.shape[1] // 2
    # A PSF larger than the tiled plane wraps around, as the periodic convolution does.
    np.add.at(kernel, (rows % tiled.shape[0], columns % tiled.shape[1]), psf)
    blur = fft.rfft2(kernel, workers=threads_here())
    y = 2.0 * np.pi * np.fft.fftfreq(tiled.shape[0])[:, None]
    x = 2.0 * np.pi * np.fft.rfftfreq(tiled.shape[1])[None, :]
    penalty = balance * (4.0 - 2.0 * np.cos(y) - 2.0 * np.cos(x)) ** 2
    spectrum = fft.rfft2(tiled, workers=threads_here())
    spectrum *= blur.conj() / (np.abs(blur) ** 2 + penalty)
    return np.asarray(fft.irfft2(spectrum, s=tiled.shape, workers=threads_here())[:height, :width])
