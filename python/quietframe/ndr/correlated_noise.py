"""Correlated (1/f) read noise, measured from a dark ramp, and what it does to the error of a rate.

A rate is ``sum a_i r_i`` with ``sum a = 0``, so only differences of reads count. With the structure function
``G(L) = <(r_{i+L} - r_i)^2> / 2`` of the read noise its variance is ``-sum_ij a_i a_j G(|i - j|)``; for white noise G
is s^2 at every lag but 0 and this is ``s^2 sum a^2``. Slow noise fakes a slope: white-noise errors are then too small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .reads import Reads, as_reads

Floats = NDArray[np.float64]

LAGS = 50
"""Largest lag that is measured, reads; beyond it the structure function stays as it is there."""

PIXELS = 2**14
"""Pixels that are looked at."""


def structure_function(dark: Reads | NDArray[Any], gain_e_per_adu: float, n_reads: int) -> Floats:
    """Measure the structure function of the read noise from a ramp without light.

    Parameters
    ----------
    dark
        Reads, shape (M, Y, X), ADU, at least 8.
    gain_e_per_adu
        e-/ADU.
    n_reads
        Reads of the exposure it is for.

    Returns
    -------
    ndarray of shape (n_reads,), float64
        e-^2 at the lags 0 ... n_reads - 1; 0 at lag 0. The mean dark current is taken off; noise that is common to all
        pixels is not, since it is in every pixel's rate.

    Raises
    ------
    InputError
        When there are fewer than 8 reads, or no pixel is finite.
    """
    stack = as_reads(dark)
    if len(stack) < 8:
        raise InputError(f"a dark ramp needs 8 reads or more to show correlated noise; it has {len(stack)}")
    step = max(1, int(np.sqrt(stack.shape[1] * stack.shape[2] / PIXELS)))
    ramps = np.stack([plane[::step, ::step].astype(np.float64) for plane in stack.planes()]).reshape(len(stack), -1)
    ramps = ramps[:, np.isfinite(ramps).all(axis=0)]
    if not ramps.shape[1]:
        raise InputError("the dark ramp has no pixel whose reads are all finite")
    lags = np.arange(1, min(LAGS, len(stack) - 1) + 1)
    current = float(np.median(ramps[-1] - ramps[0])) / (len(stack) - 1)
    measured = np.empty(len(lags))
    for position, lag in enumerate(lags):
        change = ramps[lag:] - ramps[:-lag] - lag * current
        squares = np.mean(np.square(change), axis=0)
        measured[position] = np.mean(squares[squares <= np.percentile(squares, 99.0)]) / 2.0  # not the hot pixels
    result = np.zeros(n_reads)
    result[1:] = measured[np.minimum(np.arange(1, n_reads), len(lags)) - 1] * gain_e_per_adu**2
    return result


def correlated_variance(of_reads: Floats, structure: NDArray[Any]) -> Floats:
    """Return the variance of ``sum a_i r_i`` for each row of read weights.

    Parameters
    ----------
    of_reads
        Weights of the reads, shape (B, N), each row sums to 0.
    structure
        Structure function at the lags 0 ... N - 1 or more, e-^2.
    """
    n = of_reads.shape[-1]
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return np.asarray(
        np.maximum(-np.einsum("bi,ij,bj->b", of_reads, np.asarray(structure)[lag], of_reads, optimize=True), 0.0)
    )


def worst_inflation(structure: NDArray[Any], read_noise_e: float) -> float:
    """Return how much larger the error of a least-squares slope is than white read noise would make it."""
    n = len(structure)
    steps = np.arange(n) - (n - 1) / 2.0
    row = (steps / np.sum(steps**2))[None]
    white = max(read_noise_e, 1e-12) ** 2 * float(np.sum(row**2))
    return float(np.sqrt(correlated_variance(row, structure)[0] / white))
