"""The least error any estimator of the rate can have: numerical Fisher information of one ramp, by brute force.

Two models. The normal one has the explicit covariance matrix of all reads, float64; its information has a term of the
mean and one of the variance, which also grows with the flux. The true one counts photons: likelihood of the reads by a
sum over every number of electrons at every read (forward algorithm) and over the unknown start, no approximation.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from quietframe.ndr import weights


def normal_information(n_reads: int, flux: float, noise: float) -> tuple[float, float]:
    """Return the information of the normal model: that of the mean, ``1' C^-1 1``, and that of the variance.

    The second, ``tr(C^-1 C' C^-1 C') / 2``, is no information of photons. Normal numbers with variance f tell f by
    their scatter as well; Poisson numbers do not: N - 1 of them, read without noise, hold (N - 1) / f, which is the
    first term alone.
    """
    differencing = np.diff(np.eye(n_reads), axis=0)
    times = np.arange(n_reads, dtype=np.float64)
    per_flux = differencing @ np.minimum.outer(times, times) @ differencing.T
    covariance = flux * per_flux + noise**2 * differencing @ differencing.T
    ones = np.ones(n_reads - 1)
    change = np.linalg.solve(covariance, per_flux)
    return float(ones @ np.linalg.solve(covariance, ones)), float(np.sum(change * change.T) / 2.0)


def log_likelihood(reads: np.ndarray, flux: float, noise: float) -> np.ndarray:
    """Return the logarithm of the likelihood of ramps, shape (M, N), with a start that may be anything; shape (M,)."""
    ramps, n_reads = reads.shape
    parts = int(np.ceil(1.5 * np.sqrt(n_reads) / noise)) + 1  # of an electron: finer than the start can be known
    reads = (reads[:, None, :] - np.arange(parts)[:, None] / parts).reshape(-1, n_reads)
    half = int(np.ceil(6.5 * noise)) + 1
    most = int(np.ceil(flux + 8 * np.sqrt(flux) + 6))
    states = np.arange(-half, half + 1)
    counts = np.arange(most + 1)
    photons = np.exp(counts * np.log(flux) - flux - special.gammaln(counts + 1))
    # electrons move up by as many photons as come: a band matrix
    forward = np.zeros((len(states), len(states) + most))
    for state in range(len(states)):
        forward[state, state : state + most + 1] = photons
    floor = np.floor(reads).astype(int)
    total = np.zeros(len(reads))
    chance = None
    for i in range(n_reads):
        seen = np.exp(-0.5 * np.square((reads[:, i] - floor[:, i])[:, None] - states) / noise**2)
        if chance is None:
            chance = seen
        else:
            place = (floor[:, i] - floor[:, i - 1])[:, None] + np.arange(len(states))
            moved = np.take_along_axis(chance @ forward, np.clip(place, 0, forward.shape[1] - 1), axis=1)
            chance = np.where((place >= 0) & (place < forward.shape[1]), moved, 0.0) * seen
        scale = np.maximum(chance.sum(axis=1), 1e-300)
        chance = chance / scale[:, None]
        total += np.log(scale)
    return np.asarray(special.logsumexp(total.reshape(ramps, parts), axis=1))


def true_efficiency(n_reads: int, flux: float, noise: float, ramps: int, seed: int) -> tuple[float, float]:
    """Return the efficiency of the best linear estimate, ``1 / (I var)``, and its standard error.

    For an unbiased estimate the covariance with the score (the slope of the log likelihood) is 1, so the efficiency is
    the square of their correlation. Near 1 that is certain from some hundred ramps.
    """
    rng = np.random.default_rng(seed)
    reads = np.cumsum(rng.poisson(flux, (ramps, n_reads)), axis=1) + noise * rng.standard_normal((ramps, n_reads))
    reads += rng.uniform(0.0, 1.0, (ramps, 1))
    step = 0.01 * flux
    score = (log_likelihood(reads, flux + step, noise) - log_likelihood(reads, flux - step, noise)) / (2 * step)
    best = reads @ weights.of_reads(weights.optimal(n_reads, flux, noise))
    correlation = float(np.corrcoef(score, best)[0, 1])
    return correlation**2, 2 * correlation * (1 - correlation**2) / np.sqrt(ramps)
