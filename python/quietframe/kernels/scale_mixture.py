"""Bayes least squares for wavelet coefficients whose neighbourhoods are Gaussian with a hidden, local scale; compiled.

References
----------
Portilla, Strela, Wainwright & Simoncelli 2003, "Image denoising using scale mixtures of Gaussians in the wavelet
domain", IEEE Transactions on Image Processing 12, equations 5 to 14.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SCALES = np.exp(np.linspace(-4.0, 4.5, 13))
"""Squared scales that are integrated over, alike in their logarithm (the prior 1/z)."""


class Mixture(NamedTuple):
    """What the estimate needs of one sub-band, N coefficients in a neighbourhood, the middle one first.

    Parameters
    ----------
    whiten
        Neighbourhood to independent parts of noise variance 1 (N, N).
    back
        Parts to the coefficient in the middle (N,).
    noise_share
        Share of the noise in each part, for each scale (scales, N).
    log_norm
        Minus half the logarithm of the determinant, for each scale.
    """

    whiten: NDArray[np.float64]
    back: NDArray[np.float64]
    noise_share: NDArray[np.float64]
    log_norm: NDArray[np.float64]


def make_mixture(observed: NDArray[np.float64], noise: NDArray[np.float64]) -> Mixture:
    """Return the estimator for the covariances (N, N) of observed neighbourhoods and of the noise in them."""
    values, vectors = np.linalg.eigh(noise)
    values = np.maximum(values, 1e-6 * values[-1])
    root, inverse = (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T
    excess, turned = np.linalg.eigh(inverse @ observed @ inverse - np.eye(len(noise)))
    spread = np.maximum(excess, 0) * SCALES[:, None] + 1
    return Mixture(turned.T @ inverse, root[0] @ turned, 1 / spread, -0.5 * np.log(spread).sum(axis=1))


@njit(nogil=True, cache=True, fastmath=True)
def estimate_rows(
    planes: NDArray[Any], places: NDArray[Any], mixture: Any, out: NDArray[Any], start: int, stop: int
) -> None:
    """Estimate the coefficients of some rows without noise.

    Parameters
    ----------
    planes
        The sub-band and its parent (2, Y, X); continued around the edges.
    places
        The neighbourhood: plane, row and column offset (N, 3), the middle first.
    mixture
        Of `make_mixture`.
    out
        Result (Y, X), written from row start to row stop.
    """
    height, width = planes.shape[1:]
    n, scales = mixture.noise_share.shape[1], len(mixture.log_norm)
    near, part, power, log = np.empty(n), np.empty(n), np.empty(n), np.empty(scales)
    for y in range(start, stop):
        for x in range(width):
            for k in range(n):
                near[k] = planes[places[k, 0], (y + places[k, 1]) % height, (x + places[k, 2]) % width]
            for k in range(n):
                total = 0.0
                for m in range(n):
                    total += mixture.whiten[k, m] * near[m]
                part[k] = total * mixture.back[k]
                power[k] = 0.5 * total * total
            best = -1e300
            for z in range(scales):
                total = mixture.log_norm[z]
                for k in range(n):
                    total -= power[k] * mixture.noise_share[z, k]
                log[z] = total
                best = max(best, total)
            chance, value = 0.0, 0.0
            for z in range(scales):
                weight, total = np.exp(log[z] - best), 0.0
                for k in range(n):
                    total += part[k] * (1 - mixture.noise_share[z, k])
                chance += weight
                value += weight * total
            out[y, x] = value / chance
