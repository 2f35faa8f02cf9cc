"""The error of a prediction without truth, from an independent repeat of the same scene.

Let B = signal + noise be a second exposure whose noise is independent of everything the prediction P was made of, with
mean 0 and variance v. Then E[(P - B)^2] = E[(P - signal)^2] + v, so ``mean((P - B)^2) - mean(v)`` is an unbiased
estimate of the mean squared error of ANY prediction, whatever the method. The comparison with the picture that the
prediction was made from is worthless: there the noise of both is the same.

Pixels where any input is not finite are left out and counted.

References
----------
Lehtinen et al., Noise2Noise, ICML 2018: the squared error to an independent noisy target differs from the one to the
truth only by the target's variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


@dataclass(frozen=True)
class RepeatError:
    """Mean squared error of a prediction, estimated from a repeat.

    Parameters
    ----------
    mse
        The estimate, unit squared. It is unbiased, so it may come out negative where the true error is smaller than
        `standard_error`.
    standard_error
        Of `mse`, from the scatter of the pixels, which are taken as independent.
    n_pixels
        How many pixels were used.
    """

    mse: float
    standard_error: float
    n_pixels: int

    @property
    def rms(self) -> float:
        """Root of the mean squared error, in the image's unit; 0 where the estimate is negative."""
        return math.sqrt(max(self.mse, 0.0))

    @property
    def is_measured(self) -> bool:
        """Whether the estimate exceeds two standard errors; otherwise only `upper_rms` means something."""
        return self.mse > 2 * self.standard_error

    @property
    def upper_rms(self) -> float:
        """Root mean squared error that is exceeded with 2.5 % probability (mse + 1.96 standard errors)."""
        return math.sqrt(max(self.mse + 1.96 * self.standard_error, 0.0))


def mse_from_repeat(
    prediction: NDArray[Any],
    repeat: NDArray[Any],
    variance_repeat: NDArray[Any] | float,
    *,
    use: NDArray[np.bool_] | None = None,
) -> RepeatError:
    """Estimate the mean squared error of `prediction` as ``mean((prediction - repeat)^2) - mean(variance_repeat)``.

    Parameters
    ----------
    prediction, repeat
        Arrays of one shape and unit; the repeat's noise is independent of the prediction.
    variance_repeat
        Variance of the repeat's noise: an array of the same shape or one number, unit squared.
    use
        Which pixels to use, same shape; None uses all finite ones.

    Raises
    ------
    InputError
        When shapes differ or fewer than 2 pixels are left.
    """
    prediction, repeat = _pair(prediction, repeat)
    terms = (prediction - repeat) ** 2 - np.asarray(variance_repeat, dtype=np.float64)
    values = _used(terms, use)
    return RepeatError(
        mse=float(values.mean()),
        standard_error=float(values.std(ddof=1)) / math.sqrt(values.size),
        n_pixels=int(values.size),
    )


def variance_from_pair(first: NDArray[Any], second: NDArray[Any], *, use: NDArray[np.bool_] | None = None) -> float:
    """Return the noise variance of ONE of two repeats with equal noise, ``mean((first - second)^2) / 2``.

    Parameters
    ----------
    first, second
        Two repeats of the same scene with independent noise, same shape and unit.
    use
        Which pixels to use; None uses all finite ones.

    Raises
    ------
    InputError
        As `mse_from_repeat`.
    """
    first, second = _pair(first, second)
    return float(_used((first - second) ** 2, use).mean()) / 2


def _pair(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if np.shape(first) != np.shape(second):
        raise InputError(f"the two pictures have shapes {np.shape(first)} and {np.shape(second)}; they must be equal")
    return _nan_for_infinite(first), _nan_for_infinite(second)


def _nan_for_infinite(values: NDArray[Any]) -> NDArray[np.float64]:
    """Make infinities NaN, so that a difference of two of them is quietly left out too."""
    array = np.asarray(values, dtype=np.float64)
    return np.where(np.isinf(array), np.nan, array)


def _used(terms: NDArray[np.float64], use: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    keep = np.isfinite(terms) if use is None else np.isfinite(terms) & use
    values: NDArray[np.float64] = terms[keep]
    if values.size < 2:
        raise InputError(f"only {values.size} of {terms.size} pixels are finite and usable; at least 2 are needed")
    return values
