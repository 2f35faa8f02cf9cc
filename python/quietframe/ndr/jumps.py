"""Find ramps that jump (cosmic ray, blink, random telegraph noise), cut them there and combine the pieces.

A jump between two reads adds a step to one difference. The test uses the whole ramp, not the two reads beside the step:
``z_i = (C^-1 (d - f))_i / sqrt(C^-1_ii - u_i^2 / sum u)`` with ``u = C^-1 1`` is the significance of a step at i after
the rate is fitted; at 16 reads it sees steps 1.4 times smaller than the difference of two reads, at 1000 reads 3 to 6
times smaller. How many sigma make a jump depends on the length of the ramp and on the light: see `false_alarms`.

References
----------
T. D. Brandt, "Likelihood-based Jump Detection and Cosmic Ray Rejection for Detectors Read Out Up-the-ramp",
PASP 136, 045005 (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import weights as rules
from .bank import Solver

Segment = tuple[int, int]

NOISIEST = 2.5
"""A pixel's residuals count as its own noise up to this times the camera's; beyond it something else is wrong."""


def residual_test(
    ramps: NDArray[np.floating],
    rate: NDArray[np.floating],
    entry: NDArray[np.intp],
    solver: Solver,
    noisier: NDArray[np.floating] | float = 1.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compare ramps with straight lines of the fitted rate.

    Parameters
    ----------
    ramps
        Reads in electrons, shape (N, P).
    rate
        Optimal rate of each ramp, shape (P,), e-/sub-frame.
    entry
        Entry of the solver's tables for each ramp, shape (P,).
    solver
        Tables for ramps of N reads.
    noisier
        Read noise of each ramp relative to the solver's, shape (P,).

    Returns
    -------
    chi2 : ndarray of shape (P,), float32
        ``(d - f)' C^-1 (d - f)``; N - 2 degrees of freedom.
    significance : ndarray of shape (P,), float32
        Largest significance of a jump anywhere in the ramp, in sigma of a ramp of 100 reads (`false_alarms`).
    """
    residual = np.diff(ramps, axis=0)
    residual -= rate
    # (d_i + g_{i-1}) c_i forwards, y_i = g_i + c_i y_{i+1} backwards: y = s^2 C^-1 residual
    factor = np.take(np.ascontiguousarray(solver.factor.T), entry, axis=1)
    solved = residual.copy()
    solved[0] *= factor[0]
    for step in range(1, len(solved)):
        solved[step] += solved[step - 1]
        solved[step] *= factor[step]
    scratch = np.empty_like(solved[0])
    for step in range(len(solved) - 2, -1, -1):
        np.multiply(solved[step + 1], factor[step], out=scratch)
        solved[step] += scratch
    chi2 = np.einsum("ip,ip->p", residual, solved) / np.square(solver.read_noise_e * noisier)
    solved *= np.take(np.ascontiguousarray(solver.per_sigma.T), entry, axis=1)
    size = np.maximum(solved.max(axis=0), -solved.min(axis=0)) / noisier
    significance = size / (own_noise(chi2, size, len(ramps)) * solver.harder[entry])
    return chi2.astype(np.float32), significance.astype(np.float32)


def own_noise(chi2: NDArray[Any], size: NDArray[Any], n_reads: int) -> NDArray[Any]:
    """Return how much noisier than the camera's mean a pixel is, 1 to `NOISIEST`, judged by its other differences.

    Read noise differs from pixel to pixel; without this the noisy ones would seem to jump. A jump itself adds the
    square of its size in sigma to chi2, which is taken off.
    """
    rest = (chi2 - size * size) / max(n_reads - 3, 1)
    return np.asarray(np.sqrt(np.clip(rest, 1.0, NOISIEST**2)))


@dataclass(frozen=True)
class RampNoise:
    """What the noise of one ramp depends on.

    Parameters
    ----------
    flux_e
        Flux the weights are made for, e-/px/sub-frame.
    read_noise_e
        Read noise of one read, e- rms.
    """

    flux_e: float
    read_noise_e: float


def cut_at_jumps(ramp: NDArray[np.float64], noise: RampNoise, jump_sigma: float) -> list[Segment]:
    """Cut one ramp at every jump, the strongest first.

    Parameters
    ----------
    ramp
        Reads in electrons, shape (N,).
    noise
        Flux and read noise.
    jump_sigma
        Significance above which a step is a jump.

    Returns
    -------
    list of (int, int)
        Pieces ``(start, stop)`` of two reads or more, in order.
    """
    waiting, pieces = [(0, len(ramp))], []
    while waiting:
        start, stop = waiting.pop()
        place = _strongest_jump(ramp[start:stop], noise, jump_sigma) if stop - start >= 4 else None
        if place is None:
            pieces.append((start, stop))
        else:
            waiting += [(start, start + place + 1), (start + place + 1, stop)]
    return sorted(piece for piece in pieces if piece[1] - piece[0] >= 2)


def _strongest_jump(ramp: NDArray[np.float64], noise: RampNoise, jump_sigma: float) -> int | None:
    """Return the place of the strongest jump (between reads i and i + 1), None when there is none."""
    flux = np.array([max(noise.flux_e, 1e-6 * max(noise.read_noise_e, 1e-2) ** 2)])
    solver = Solver.make(len(ramp), noise.read_noise_e, flux, jump_sigma)
    weights = rules.optimal(len(ramp), float(flux[0]), solver.read_noise_e)
    difference = np.diff(ramp)
    residual = difference - weights @ difference
    solved = residual.copy()
    factor = solver.factor[0].astype(np.float64)
    solved[0] *= factor[0]
    for step in range(1, len(solved)):
        solved[step] = (solved[step] + solved[step - 1]) * factor[step]
    for step in range(len(solved) - 2, -1, -1):
        solved[step] += factor[step] * solved[step + 1]
    significance = np.abs(solved * solver.per_sigma[0])
    chi2 = residual @ solved / solver.read_noise_e**2
    significance /= own_noise(chi2, significance.max(), len(ramp)) * solver.harder[0]
    place = int(np.argmax(significance))
    return place if significance[place] > jump_sigma else None


def combine(
    ramp: NDArray[np.float64], pieces: list[Segment], method: str, noise: RampNoise
) -> tuple[float, float, float]:
    """Fit each piece of a ramp and combine the rates by inverse variance.

    Returns
    -------
    rate, variance_poisson, variance_read : float
        NaN when no piece is left.
    """
    if not pieces:
        return np.nan, np.nan, np.nan
    total = shot = read = rate = 0.0
    for start, stop in pieces:
        weights = rules.weights_for(method, stop - start, noise.flux_e, noise.read_noise_e)
        per_flux, per_read = rules.noise_factors(weights)
        poisson, reading = noise.flux_e * per_flux, noise.read_noise_e**2 * per_read
        trust = 1.0 / max(poisson + reading, 1e-12)
        rate += trust * float(weights @ np.diff(ramp[start:stop]))
        shot += trust**2 * poisson
        read += trust**2 * reading
        total += trust
    return rate / total, shot / total**2, read / total**2
