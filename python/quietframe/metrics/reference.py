"""How far an image is from the truth: PSNR, PSNR after the best affine match, NRMSE, SSIM (scikit-image underneath).

A peak signal-to-noise ratio means nothing without its peak: every function here takes an explicit data range, and
`default_data_range` is P99.9 - P0.1 of the truth, which one hot pixel does not change. All sums are float64. Pixels
must be finite.

References
----------
Wang, Bovik, Sheikh, Simoncelli, IEEE Trans. Image Process. 13, 600 (2004): SSIM with a Gaussian window of sigma 1.5.
Weigert et al., Nature Methods 15, 1090 (2018): scores after the affine match that minimises the squared error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError

SSIM_SIGMA = 1.5
"""Width of the SSIM window [px]; scikit-image cuts it at 3.5 sigma, so it is 11 pixels wide."""

SSIM_SIDE = 11
"""Smallest image side that SSIM can be computed on [px]."""


def default_data_range(truth: NDArray[Any]) -> float:
    """Return P99.9 - P0.1 of the truth, in its unit.

    Raises
    ------
    InputError
        When that is 0: the truth is (almost) constant and no peak can be taken from it.
    """
    low, high = np.percentile(_finite(truth, "truth"), (0.1, 99.9))
    if not high > low:
        raise InputError(
            f"the truth is constant ({low:g}) up to 0.1 % of its pixels, so it gives no data range; "
            "give one (--data-range) or another truth"
        )
    return float(high - low)


def psnr(truth: NDArray[Any], image: NDArray[Any], data_range: float) -> float:
    """Return 10 log10(data_range^2 / mean squared error), decibels; infinity where both are equal.

    Parameters
    ----------
    truth, image
        Real, finite arrays of one shape and unit.
    data_range
        The peak, in that unit, > 0.

    Raises
    ------
    InputError
        When the shapes differ or a pixel is not finite.
    OptionError
        When `data_range` is not above 0.
    """
    from skimage.metrics import peak_signal_noise_ratio

    truth, image = _pair(truth, image, data_range)
    if np.array_equal(truth, image):
        return math.inf
    return float(peak_signal_noise_ratio(truth, image, data_range=data_range))


def affine_match(truth: NDArray[Any], image: NDArray[Any]) -> NDArray[np.float64]:
    """Return a * image + b with the a and b that minimise the squared error to the truth.

    A constant image becomes the truth's mean (a = 0). Same shapes, finite pixels; errors as `psnr`.
    """
    truth, image = _pair(truth, image, 1.0)
    centred = image - image.mean()
    power = float(np.vdot(centred, centred))
    slope = float(np.vdot(centred, truth)) / power if power > 0 else 0.0
    matched: NDArray[np.float64] = slope * centred + truth.mean()
    return matched


def psnr_affine(truth: NDArray[Any], image: NDArray[Any], data_range: float) -> float:
    """Return the PSNR after `affine_match`, decibels: what is left when gain and offset do not count.

    Parameters and errors as `psnr`.
    """
    return psnr(truth, affine_match(truth, image), data_range)


def nrmse(truth: NDArray[Any], image: NDArray[Any]) -> float:
    """Return the root of the squared error over that of the truth, ||image - truth|| / ||truth||, without unit.

    Raises
    ------
    InputError
        When the shapes differ, a pixel is not finite, or the truth is zero everywhere.
    """
    from skimage.metrics import normalized_root_mse

    truth, image = _pair(truth, image, 1.0)
    if not truth.any():
        raise InputError("the truth is zero everywhere, so no error can be given relative to it; give another truth")
    return float(normalized_root_mse(truth, image, normalization="euclidean"))


def ssim(truth: NDArray[Any], image: NDArray[Any], data_range: float) -> float:
    """Return the mean structural similarity of two planes, at most 1 (Gaussian window of sigma 1.5).

    Parameters
    ----------
    truth, image
        Planes (Y, X), both sides at least 11 pixels.
    data_range
        As in `psnr`.

    Raises
    ------
    InputError
        As `psnr`, and when a side is below 11 pixels or there are more than two axes.
    """
    from skimage.metrics import structural_similarity

    truth, image = _pair(truth, image, data_range)
    if truth.ndim != 2 or min(truth.shape) < SSIM_SIDE:
        raise InputError(
            f"SSIM needs planes (Y, X) of at least {SSIM_SIDE} x {SSIM_SIDE} pixels; got shape {truth.shape}"
        )
    return float(
        structural_similarity(
            truth,
            image,
            gaussian_weights=True,
            sigma=SSIM_SIGMA,
            use_sample_covariance=False,
            data_range=data_range,
        )
    )


@dataclass(frozen=True)
class Scores:
    """All scores of one plane: PSNR and PSNR after the affine match [dB], NRMSE and SSIM [1]."""

    psnr: float
    psnr_affine: float
    nrmse: float
    ssim: float


def score_plane(truth: NDArray[Any], image: NDArray[Any], data_range: float) -> Scores:
    """Return all scores of one plane (Y, X).

    Parameters and errors as `ssim` and `nrmse`.
    """
    return Scores(
        psnr=psnr(truth, image, data_range),
        psnr_affine=psnr_affine(truth, image, data_range),
        nrmse=nrmse(truth, image),
        ssim=ssim(truth, image, data_range),
    )


def _pair(
    truth: NDArray[Any], image: NDArray[Any], data_range: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if np.shape(truth) != np.shape(image):
        raise InputError(f"the truth has shape {np.shape(truth)}, the image {np.shape(image)}; they must be equal")
    if not (math.isfinite(data_range) and data_range > 0):
        raise OptionError(f"the data range must be a number above 0; got {data_range}")
    return _finite(truth, "truth"), _finite(image, "image")


def _finite(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.size == 0 or array.dtype.kind not in "buif":
        raise InputError(f"the {name} must hold real pixel values; got shape {array.shape}, {array.dtype}")
    array = array.astype(np.float64)
    wrong = int(array.size - np.count_nonzero(np.isfinite(array)))
    if wrong:
        raise InputError(f"{wrong} of {array.size} pixels of the {name} are NaN or infinite; mend or crop them first")
    return array
