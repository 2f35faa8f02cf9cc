"""Shrink small wavelet coefficients, which are mostly noise, averaged over shifts of the grid: wavelet shrinkage.

Use it when a fast method for white noise is wanted that keeps detail of all sizes; without --shifts, and with hard
thresholds, it leaves small ringing marks.

The image, divided by the noise, goes through ``skimage.restoration.denoise_wavelet``: bayes-shrink thresholds each
sub-band by noise variance / signal deviation, visu-shrink all of them by ``sqrt(2 log(pixels))``. Cycle spinning: this
is done for --shifts offsets of the grid along each axis, and the results are averaged. The image is continued by
mirroring for it, not wrapped around as by ``skimage.restoration.cycle_spin``. Double precision. Where the noise is 0
the image comes back as it is.

References
----------
Chang, Yu & Vetterli 2000, "Adaptive wavelet thresholding for image denoising and compression", IEEE TIP 9, 1532-1546.
Donoho & Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 425-455.
Coifman & Donoho 1995, "Translation-invariant de-noising", Wavelets and Statistics, Springer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_dimensions, require_noise_sigma, require_one_of, require_whole
from ..kernels.ordered import in_order
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
GRID = {"wavelet": ("haar", "db2", "sym8"), "thresholds": ("bayes-shrink", "visu-shrink")}
METHODS = {"bayes-shrink": "BayesShrink", "visu-shrink": "VisuShrink"}


@dataclass(frozen=True)
class Settings:
    """Settings of wavelet shrinkage.

    Parameters
    ----------
    wavelet
        An orthogonal wavelet of PyWavelets: haar, db2 to db38, sym2 to sym20, coif1 to coif17.
    thresholds
        How large the thresholds are: bayes-shrink (each sub-band its own) or visu-shrink (one for all, smoother).
    mode
        Coefficients above the threshold are reduced by it (soft) or kept (hard).
    shifts
        Offsets of the grid along each axis that are averaged [px]; 1 takes the grid as it is.
    levels
        Levels of the transform, at most what the image allows; 0 takes three less than that.
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    dimensions
        2 for plane by plane, 3 for whole volumes.
    """

    wavelet: str = "sym8"
    thresholds: Literal["bayes-shrink", "visu-shrink"] = "bayes-shrink"
    mode: Literal["soft", "hard"] = "soft"
    shifts: int = 4
    levels: int = 0
    noise_sigma: float | None = None
    dimensions: int = 2

    def __post_init__(self) -> None:
        import pywt

        families = [name for family in ("haar", "db", "sym", "coif") for name in pywt.wavelist(family)]
        require_one_of("wavelet", self.wavelet, families)
        require_one_of("thresholds", self.thresholds, tuple(METHODS))
        require_one_of("mode", self.mode, ("soft", "hard"))
        require_whole("shifts", self.shifts, 1, 64, "px")
        require_whole("levels", self.levels, 0, 20)
        require_noise_sigma(self.noise_sigma)
        require_dimensions(self.dimensions)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return None: thresholds are measured over the whole image."""
    return None


def _shrink(image: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """Filter an image whose noise is 1 on the grid as it is."""
    import pywt
    from skimage.restoration import denoise_wavelet

    # One level at least must fit; PyWavelets warns where none does.
    smallest = 2 * (pywt.Wavelet(settings.wavelet).dec_len - 1)
    padded = np.pad(image, [(0, max(0, smallest - length)) for length in image.shape], mode="symmetric")
    levels = min(settings.levels, pywt.dwtn_max_level(padded.shape, settings.wavelet)) or None
    result = denoise_wavelet(
        padded, 1.0, settings.wavelet, settings.mode, levels, method=METHODS[settings.thresholds], rescale_sigma=False
    )
    return np.asarray(result[tuple(slice(length) for length in image.shape)])


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane or one volume.

    Parameters
    ----------
    image
        (Y, X), or (Z, Y, X) with three dimensions.
    settings
        Wavelet, thresholds and noise.

    Returns
    -------
    ndarray of float32, of the same shape
    """
    whole = require_pixels(image, AXES if settings.dimensions == 2 else "ZYX").astype(np.float64)
    noise = noise_sigma_or_estimate(settings.noise_sigma, whole)
    # Along an axis of one pixel there is nothing to transform.
    pixels = np.squeeze(whole)
    if noise == 0 or pixels.ndim == 0:
        return whole.astype(np.float32)
    offset = pixels.mean()
    margin = settings.shifts - 1
    padded = np.pad((pixels - offset) / noise, margin, mode="symmetric")
    total = np.zeros_like(pixels)

    def shifted(shift: tuple[int, ...]) -> NDArray[np.float64]:
        window = tuple(slice(s, length + margin + s) for s, length in zip(shift, pixels.shape, strict=True))
        inside = tuple(slice(margin - s, length + margin - s) for s, length in zip(shift, pixels.shape, strict=True))
        return _shrink(padded[window], settings)[inside]

    for result in in_order(shifted, product(range(settings.shifts), repeat=pixels.ndim)):
        total += result
    return np.asarray(total * (noise / settings.shifts**pixels.ndim) + offset, dtype=np.float32).reshape(whole.shape)
