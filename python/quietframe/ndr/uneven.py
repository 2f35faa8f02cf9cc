"""Fit ramps whose reads are not equally spaced, are averages of several, or are partly missing.

Between two kept reads, in electrons, ``Var d_i = f (tau_i + tau_{i+1} - 2 t_i) + s^2 (1/n_i + 1/n_{i+1})`` and
``Cov(d_i, d_{i+1}) = f (t_{i+1} - tau_{i+1}) - s^2 / n_{i+1}``, where read i is the mean of n_i samples, t_i their mean
time and ``tau_i = sum_k (2 (n - k) + 1) t_k / n^2``. The matrix is tridiagonal: generalised least squares takes one
pass forwards and one backwards, for all pixels at once. A missing read joins two differences; a jump takes one
difference out, which leaves two blocks that the same solution combines by their variances.

References
----------
T. D. Brandt, "Optimal Fitting and Debiasing for Detectors Read Out Up-the-Ramp", PASP 136, 045004 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReadPattern:
    """When the reads were taken; every array has the shape (N,).

    Parameters
    ----------
    times
        Mean time of each read, sub-frames (any origin), ascending.
    variance_times
        tau of the module's formula; equal to `times` for single samples.
    counts
        Samples averaged in each read.
    """

    times: Floats
    variance_times: Floats
    counts: Floats

    @classmethod
    def of_times(cls, times: Sequence[float] | NDArray[Any]) -> ReadPattern:
        """Make the pattern of single samples at these times."""
        return cls.of_groups([[float(time)] for time in times])

    @classmethod
    def of_groups(cls, groups: Sequence[Sequence[float]]) -> ReadPattern:
        """Make the pattern of reads that are means of samples at these times.

        Raises
        ------
        InputError
            When times are not finite or do not ascend, or there are fewer than two reads.
        """
        if len(groups) < 2 or not all(len(group) for group in groups):
            raise InputError(f"a ramp needs the times of 2 reads or more, each of them given; got {len(groups)}")
        flat = np.concatenate([np.asarray(group, np.float64) for group in groups])
        if not np.isfinite(flat).all():
            raise InputError("read times must be finite numbers")
        if not (np.diff(flat) > 0).all():
            place = int(np.argmin(np.diff(flat) > 0)) + 1
            raise InputError(
                f"read times must ascend; time {place} is {flat[place - 1]:g} and time {place + 1} is {flat[place]:g}"
            )
        times, taus = [], []
        for group in groups:
            n = len(group)
            times.append(float(np.mean(group)))
            taus.append(float(np.dot(2 * (n - np.arange(1, n + 1)) + 1, group)) / n**2)
        return cls(np.array(times), np.array(taus), np.array([len(group) for group in groups], np.float64))

    def part(self, first: int, last: int) -> ReadPattern:
        """Return the pattern of the reads ``first:last``."""
        return ReadPattern(self.times[first:last], self.variance_times[first:last], self.counts[first:last])

    def scaled(self, unit: float) -> ReadPattern:
        """Return the pattern with times in multiples of `unit`."""
        return ReadPattern(self.times / unit, self.variance_times / unit, self.counts)


@dataclass(frozen=True)
class Solution:
    """The fit of some ramps, each array of shape (P,).

    Parameters
    ----------
    rate
        e-/sub-frame; NaN where no difference is left.
    shot, read
        Parts of the variance of the rate.
    chi2
        Residual against a straight line.
    used
        Reads that took part.
    significance
        Of a jump at each difference, shape (N - 1, P); NaN where a difference does not exist. Empty when not asked for.
    """

    rate: Floats
    shot: Floats
    read: Floats
    chi2: Floats
    used: NDArray[np.int32]
    significance: Floats


@dataclass(frozen=True)
class _System:
    """Differences of the kept reads and their covariance; all (n, P), neutral where there is no difference."""

    step: Floats
    time: Floats
    shot: Floats
    shot_beside: Floats
    read: Floats
    read_beside: Floats
    exists: NDArray[np.bool_]


def solve(
    ramps: Floats,
    pattern: ReadPattern,
    flux_e: Floats,
    read_noise_e: Floats,
    *,
    kept: NDArray[np.bool_] | None = None,
    without: NDArray[np.bool_] | None = None,
    test_jumps: bool = False,
) -> Solution:
    """Fit ramps by generalised least squares.

    Parameters
    ----------
    ramps
        Reads in electrons, shape (N, P); what is not kept may be anything.
    pattern
        Times of the N reads.
    flux_e, read_noise_e
        Flux (>= 0, e-/sub-frame) and read noise of one sample (e- rms) the weights are made for, shape (P,).
    kept
        Reads that count, shape (N, P); None: all.
    without
        Differences that are left out, shape (N - 1, P), counted among the kept reads; None: none.
    test_jumps
        Whether to return the significance of a jump at each difference.
    """
    system, used = _system(ramps, pattern, kept, without)
    noise = np.maximum(read_noise_e, 1e-3) ** 2  # a matrix that is never singular; 1e-6 e-^2 of noise
    diagonal = np.where(system.exists, flux_e * system.shot + noise * system.read, 1.0)
    beside = flux_e * system.shot_beside + noise * system.read_beside
    factor, pivot = _eliminate(diagonal, beside)
    solved = _substitute(factor, pivot, system.time)
    total = np.einsum("ip,ip->p", solved, system.time)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = solved / total
        rate = np.einsum("ip,ip->p", weights, system.step)
        shot = flux_e * _variance(weights, system.shot, system.shot_beside)
        read = np.asarray(read_noise_e, np.float64) ** 2 * _variance(weights, system.read, system.read_beside)
        residual = np.where(system.exists, system.step - rate * system.time, 0.0)
        whitened = _substitute(factor, pivot, residual)
        chi2 = np.einsum("ip,ip->p", residual, whitened)
    significance = np.empty((0, ramps.shape[1]))
    if test_jumps:
        significance = _significance(diagonal, beside, pivot, (solved, whitened, total))
        significance[~system.exists] = np.nan
    empty = ~system.exists.any(axis=0)
    for values in (rate, shot, read, chi2):
        values[empty] = np.nan
    return Solution(rate, shot, read, chi2, used, significance)


def _system(
    ramps: Floats, pattern: ReadPattern, kept: NDArray[np.bool_] | None, without: NDArray[np.bool_] | None
) -> tuple[_System, NDArray[np.int32]]:
    """Move the kept reads of each pixel to the front and take their differences."""
    n, pixels = ramps.shape
    columns = [np.broadcast_to(v[:, None], ramps.shape) for v in (pattern.times, pattern.variance_times)]
    inverse = np.broadcast_to((1.0 / pattern.counts)[:, None], ramps.shape)
    exists = np.ones((n - 1, pixels), bool)
    if kept is not None and not kept.all():
        order = np.argsort(~kept, axis=0, kind="stable")
        ramps = np.take_along_axis(np.where(kept, ramps, 0.0), order, axis=0)
        columns = [np.take_along_axis(column, order, axis=0) for column in columns]
        inverse = np.take_along_axis(inverse, order, axis=0)
        exists = np.arange(1, n)[:, None] < kept.sum(axis=0)
    if without is not None:
        exists = exists & ~without
    times, taus = columns
    both = exists[:-1] & exists[1:]
    zero = np.zeros((1, pixels))
    system = _System(
        step=np.where(exists, np.diff(ramps, axis=0), 0.0),
        time=np.where(exists, np.diff(times, axis=0), 0.0),
        shot=np.where(exists, taus[:-1] + taus[1:] - 2.0 * times[:-1], 0.0),
        shot_beside=np.concatenate([np.where(both, times[1:-1] - taus[1:-1], 0.0), zero]),
        read=np.where(exists, inverse[:-1] + inverse[1:], 0.0),
        read_beside=np.concatenate([np.where(both, -inverse[1:-1], 0.0), zero]),
        exists=exists,
    )
    touched = np.zeros((n, pixels), bool)
    touched[:-1] |= exists
    touched[1:] |= exists
    return system, touched.sum(axis=0).astype(np.int32)


def _eliminate(diagonal: Floats, beside: Floats) -> tuple[Floats, Floats]:
    """Return the elimination factors ``beside_{i-1} / pivot_{i-1}`` and the pivots of a tridiagonal matrix."""
    pivot, factor = diagonal.copy(), np.zeros_like(diagonal)
    for i in range(1, len(diagonal)):
        factor[i] = beside[i - 1] / pivot[i - 1]
        pivot[i] -= factor[i] * beside[i - 1]
    return factor, pivot


def _substitute(factor: Floats, pivot: Floats, right: Floats) -> Floats:
    """Solve for one right side per pixel, shape (n, P)."""
    solved = right.copy()
    for i in range(1, len(solved)):
        solved[i] -= factor[i] * solved[i - 1]
    solved /= pivot
    for i in range(len(solved) - 2, -1, -1):
        solved[i] -= factor[i + 1] * solved[i + 1]
    return solved


def _variance(weights: Floats, diagonal: Floats, beside: Floats) -> Floats:
    """Return ``w' M w`` of a tridiagonal matrix M."""
    return np.asarray(
        np.einsum("ip,ip->p", weights * diagonal, weights)
        + 2.0 * np.einsum("ip,ip->p", weights[:-1] * beside[:-1], weights[1:])
    )


def _significance(diagonal: Floats, beside: Floats, pivot: Floats, solved: tuple[Floats, Floats, Floats]) -> Floats:
    """Return how many sigma a step at each difference is, after the rate is fitted."""
    times, whitened, total = solved
    backwards = diagonal.copy()
    for i in range(len(diagonal) - 2, -1, -1):
        backwards[i] -= beside[i] ** 2 / backwards[i + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = 1.0 / (pivot + backwards - diagonal) - times**2 / total
        return np.asarray(np.where(strength > 1e-9 / diagonal, whitened / np.sqrt(np.abs(strength)), 0.0))
