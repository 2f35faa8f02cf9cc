"""Weights for every flux there is, prepared once: a bank of weight vectors over the logarithm of the flux.

The weights change slowly with the flux: from one entry to the next it grows by a factor of at most 1.5, and weights
made for a flux 1.25 times wrong cost less than 0.1 % of the signal-to-noise ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from . import false_alarms
from . import weights as rules
from .correlated_noise import correlated_variance

ENTRIES = 64

Floats = NDArray[np.float64]


def flux_grid(n_reads: int, read_noise_e: float, highest_e: float) -> Floats:
    """Return the fluxes of a bank, from where only read noise counts to the highest flux in the image.

    Parameters
    ----------
    n_reads
        Reads in the ramp.
    read_noise_e
        Read noise of one read, e- rms.
    highest_e
        Largest flux guess, e-/px/sub-frame.
    """
    noise = max(read_noise_e, 1e-2) ** 2
    low = 0.05 * noise / n_reads**2  # the ramp is shorter than a quarter of the decay length: least squares
    high = max(1e3 * noise, highest_e, 2 * low)  # a decay length of a seventh of a read: last minus first
    return np.geomspace(low, high, ENTRIES)


@dataclass(frozen=True)
class Bank:
    """Weights of one method for ramps of one length.

    Parameters
    ----------
    fluxes
        Fluxes the entries are made for, ascending, shape (B,), e-/px/sub-frame.
    of_reads
        Weights of the reads, shape (B, N), each row sums to 0.
    shot, read
        Variance of the rate per unit of flux and per unit of squared read noise, shape (B,).
    """

    fluxes: Floats
    of_reads: Floats
    shot: Floats
    read: Floats

    @classmethod
    def make(
        cls, method: str, n_reads: int, read_noise_e: float, fluxes: Floats, *, structure: Floats | None = None
    ) -> Bank:
        """Make the weights of `method` for each of `fluxes`; a single entry where they do not depend on it.

        With the structure function of correlated read noise (`correlated_noise`) the variance is what such noise makes
        of these weights; the weights stay those for white noise.
        """
        if not rules.depends_on_flux(method):
            fluxes = fluxes[:1]
        rows = [rules.weights_for(method, n_reads, float(flux), read_noise_e) for flux in fluxes]
        factors = np.array([rules.noise_factors(row) for row in rows])
        of_reads, read = rules.of_reads(np.array(rows)), factors[:, 1]
        if structure is not None and read_noise_e > 0.0:
            read = correlated_variance(of_reads, structure) / read_noise_e**2
        return cls(fluxes, of_reads, factors[:, 0], read)

    def entry_of(self, flux_e: NDArray[np.floating]) -> NDArray[np.intp]:
        """Return the entry nearest to each flux, on the logarithm; an exact match where a flux is an entry."""
        if len(self.fluxes) == 1:
            return np.zeros(flux_e.shape, np.intp)
        middles = np.sqrt(self.fluxes[:-1] * self.fluxes[1:])
        return np.searchsorted(middles.astype(flux_e.dtype), flux_e).astype(np.intp)


@dataclass(frozen=True)
class Solver:
    """What the test for jumps needs for ramps of one length: the inverse of the covariance of their differences.

    ``C = s^2 tridiag(-1, 2 + f/s^2, -1)``, solved by elimination with the factors `factor`.

    Parameters
    ----------
    read_noise_e
        Read noise the tables were made for (never 0), e- rms.
    factor
        Elimination factors c_1 = 1/(2 + phi), c_i = 1/(2 + phi - c_{i-1}), shape (B, N - 1).
    per_sigma
        Factor that turns ``s^2 C^-1 residual`` into the size of a jump at that place in sigma, shape (B, N - 1).
    harder
        What a size is divided by to compare it with the significance asked for, shape (B,), 1 or more: photons come
        in whole numbers and long ramps have many places (`false_alarms`).
    """

    read_noise_e: float
    factor: NDArray[np.float32]
    per_sigma: NDArray[np.float32]
    harder: NDArray[np.float32]

    @classmethod
    def make(cls, n_reads: int, read_noise_e: float, fluxes: Floats, jump_sigma: float) -> Solver:
        """Make the tables for ramps of `n_reads` reads at each of `fluxes`.

        A jump must also be larger than what photons that happen to arrive together do by chance: with a read noise
        well below one electron two photons in one sub-frame are no jump, although they are far from the mean.
        """
        noise = max(read_noise_e, 1e-2)
        phi = fluxes / noise**2
        steps = np.arange(1, n_reads)
        factor = np.empty((len(fluxes), n_reads - 1))
        previous = np.zeros(len(fluxes))
        for step in range(n_reads - 1):
            previous = factor[:, step] = 1.0 / (2.0 + phi - previous)
        decay = 2.0 * np.arcsinh(np.sqrt(phi) / 2.0)[:, None]
        # s^2 C^-1_ii = sinh(k i) sinh(k (N - i)) / (sinh k sinh k N) and s^2 (C^-1 1)_i, without overflow
        diagonal = (
            np.expm1(-2 * decay * steps) * np.expm1(-2 * decay * (n_reads - steps)) / -np.expm1(-2 * decay * n_reads)
        )
        diagonal /= 2.0 * np.sinh(decay)
        ones = np.expm1(-decay * steps) * np.expm1(-decay * (n_reads - steps)) / (1 + np.exp(-decay * n_reads))
        ones /= phi[:, None]
        strength = diagonal - ones**2 / ones.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            per_sigma = 1.0 / (noise * np.sqrt(np.maximum(strength, 1e-12)))
            # photons in excess, this rare
            rare = special.pdtrik(1.0 - false_alarms.chance(jump_sigma, n_reads), fluxes) - fluxes
            needed = false_alarms.thresholds(fluxes, noise, n_reads, jump_sigma)
            size = needed[:, None] / np.maximum(strength * rare[:, None], 1e-12)
        table = np.where(strength > 1e-9, np.minimum(per_sigma, size), 0.0)
        harder = needed / jump_sigma
        return cls(noise, factor.astype(np.float32), table.astype(np.float32), harder.astype(np.float32))
