"""Weights that turn the reads of one ramp into a rate, and the variance of that rate.

A ramp is ``r_i = B + sum_{j<=i} n_j + s e_i`` with ``n_j ~ Poisson(f)`` and ``e_i ~ N(0, 1)``. Its adjacent differences
``d_i`` have the covariance ``C = tridiag(-s^2, f + 2 s^2, -s^2)``. Every estimator here is ``sum w_i d_i`` with
``sum w = 1``, so it is unbiased and blind to the unknown start B, and its variance is ``f sum w^2 + s^2 sum a^2``,
where ``a_i = w_{i-1} - w_i`` are the weights of the reads.

References
----------
T. D. Brandt, "Optimal Fitting and Debiasing for Detectors Read Out Up-the-Ramp", PASP 136, 045004 (2024).
A. M. Fowler and I. Gatley, "Demonstration of an algorithm for read-noise reduction in infrared arrays",
ApJ 353, L33 (1990).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, unknown

METHODS = ("optimal", "last-first", "fowler", "lsq")
"""The names that `weights_for` knows."""

Floats = NDArray[np.float64]


def kappa(flux_e: float, read_noise_e: float) -> float:
    """Return the inverse decay length of the optimal weights in reads, ``cosh kappa = 1 + f / 2 s^2``.

    Written with asinh, which keeps its precision where the flux is far below the read noise.
    """
    return float(2.0 * np.arcsinh(np.sqrt(flux_e) / (2.0 * read_noise_e)))


def last_first(n_reads: int) -> Floats:
    """Return the weights of (last - first) / (n - 1): the mean of all adjacent differences."""
    return np.full(n_reads - 1, 1.0 / (n_reads - 1))


def least_squares(n_reads: int) -> Floats:
    """Return the weights of the slope of an ordinary straight-line fit; optimal when nothing but read noise counts."""
    steps = np.arange(1, n_reads, dtype=np.float64)
    weights = steps * (n_reads - steps)
    return np.asarray(weights / weights.sum())


def optimal(n_reads: int, flux_e: float, read_noise_e: float) -> Floats:
    """Return the weights of least variance (generalised least squares), closed form for equally spaced reads.

    ``w_i ~ (1 - exp(-kappa i)) (1 - exp(-kappa (N - i)))``, which is ``1 - cosh(kappa (i - N/2)) / cosh(kappa N/2)``
    without its cancellation.

    Parameters
    ----------
    n_reads
        Number of reads N, >= 2.
    flux_e
        Flux the weights are made for, e-/px/sub-frame, >= 0.
    read_noise_e
        Read noise of one read, e- rms, >= 0.

    Returns
    -------
    ndarray of shape (n_reads - 1,), float64
        Weights of the adjacent differences, sum 1.
    """
    if read_noise_e <= 0.0:
        return last_first(n_reads)
    decay = kappa(max(flux_e, 0.0), read_noise_e)
    if decay * n_reads < 1e-6:  # the limit; below it the products of expm1 only lose digits
        return least_squares(n_reads)
    steps = np.arange(1, n_reads, dtype=np.float64)
    weights = np.expm1(-decay * steps) * np.expm1(-decay * (n_reads - steps))
    return np.asarray(weights / weights.sum())


def fowler(n_reads: int, flux_e: float, read_noise_e: float) -> Floats:
    """Return the weights of Fowler sampling: mean of the last M reads minus mean of the first M, best M for the flux.

    M between 1 and N/2 minimises ``[2 s^2/M + f (N - 2M + 1 + (M-1)(2M-1)/(3M))] / (N - M)^2``.
    """
    reads = np.arange(1, max(n_reads // 2, 1) + 1, dtype=np.float64)
    shot = n_reads - 2 * reads + 1 + (reads - 1) * (2 * reads - 1) / (3 * reads)
    variance = (2 * read_noise_e**2 / reads + flux_e * shot) / (n_reads - reads) ** 2
    best = int(reads[np.argmin(variance)])
    of_reads = np.zeros(n_reads)
    of_reads[:best] = -1.0 / best
    of_reads[-best:] += 1.0 / best
    return np.asarray(np.cumsum(of_reads[::-1])[::-1][1:] / (n_reads - best))


def weights_for(method: str, n_reads: int, flux_e: float, read_noise_e: float) -> Floats:
    """Return the weights of the adjacent differences for one method.

    Parameters
    ----------
    method
        ``optimal``, ``last-first``, ``fowler`` or ``lsq``.
    n_reads
        Number of reads, >= 2.
    flux_e, read_noise_e
        Flux [e-/px/sub-frame] and read noise [e- rms] the weights are made for.

    Returns
    -------
    ndarray of shape (n_reads - 1,), float64
        Sum 1.
    """
    if n_reads < 2:
        raise OptionError(f"a rate needs at least 2 reads; got {n_reads}")
    if method == "optimal":
        return optimal(n_reads, flux_e, read_noise_e)
    if method == "last-first":
        return last_first(n_reads)
    if method == "fowler":
        return fowler(n_reads, flux_e, read_noise_e)
    if method == "lsq":
        return least_squares(n_reads)
    raise unknown("method", method, METHODS)


def depends_on_flux(method: str) -> bool:
    """Say whether the weights of `method` change with the flux."""
    return method in {"optimal", "fowler"}


def of_reads(weights: NDArray[Any]) -> Floats:
    """Turn weights of the n - 1 differences into weights of the n reads (sum 0); works along the last axis."""
    edges = np.zeros((*weights.shape[:-1], 1))
    padded = np.concatenate([edges, np.asarray(weights, np.float64), edges], axis=-1)
    return np.asarray(padded[..., :-1] - padded[..., 1:])


def noise_factors(weights: NDArray[Any]) -> tuple[float, float]:
    """Return ``(sum w^2, sum a^2)``: variance of the rate per unit of flux and per unit of squared read noise."""
    reads = of_reads(weights)
    return float(np.sum(np.square(weights))), float(np.sum(np.square(reads)))


def information(n_reads: int, flux_e: float, read_noise_e: float) -> float:
    """Return ``1' C^-1 1``, the inverse of the least variance any linear estimator of the rate can have [(e-)^-2]."""
    shot, read = noise_factors(optimal(n_reads, flux_e, read_noise_e))
    return 1.0 / (flux_e * shot + read_noise_e**2 * read)
