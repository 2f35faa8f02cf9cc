"""How the light of an exposure changes as a whole: bleaching, measured from the ramp itself.

Parts of one exposure that were taken at different times are brought to the same light by one factor each. The curve is
a polynomial through the mean increments of 32 blocks of reads; a higher degree is taken only where an F test at 0.001
asks for it, so that an exposure with steady light is left exactly as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy import stats

from .reads import Reads, as_reads, check_range
from .subtract import Window

BLOCKS, FEWEST = 32, 6
HIGHEST_DEGREE = 3
SIGNIFICANCE = 1e-3


@dataclass(frozen=True)
class LightCurve:
    """Mean light against time, relative to its mean over the exposure.

    Parameters
    ----------
    first, last
        Reads it was measured from, ``[first, last)``, from 0.
    cumulative
        Polynomial of the light collected from the first read up to a time (in reads).
    degree
        Of the curve; 0: the light is steady.
    """

    first: int
    last: int
    cumulative: Polynomial
    degree: int

    def factor(self, window: Window) -> float:
        """Return what a rate or difference from reads ``(a, b)`` is to be multiplied with."""
        if self.degree == 0:
            return 1.0
        (a, b), start, end = window, self.first, self.last - 1
        mean = (self.cumulative(end) - self.cumulative(start)) / (end - start)
        here = (self.cumulative(b) - self.cumulative(a)) / (b - a)
        # A curve that comes near 0 says nothing about a factor; more than 20 would be noise only.
        return float(mean / here) if here > 0.05 * mean > 0 else 1.0

    @property
    def change(self) -> float:
        """Return the relative change of the light from the first sub-frame to the last."""
        slope = self.cumulative.deriv()
        begin, end = slope(self.first + 0.5), slope(self.last - 1.5)
        return float(end / begin - 1.0) if begin > 0 else 0.0


def light_curve(
    reads: Reads | NDArray[Any], *, first: int = 0, last: int | None = None, saturation_adu: float = np.inf
) -> LightCurve:
    """Measure how the light of the whole picture changes during the exposure.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    first, last
        Reads used, ``[first, last)``, from 0.
    saturation_adu
        Pixels that exceed this in the last read are left out: they stop rising, which is no bleaching.
    """
    stack = as_reads(reads)
    first, last = check_range(len(stack), first, last)
    edges = np.unique(np.linspace(first, last - 1, min(BLOCKS, last - 1 - first) + 1).round().astype(int))
    times = 0.5 * (edges[1:] + edges[:-1])
    increments = _mean_increments(stack, edges, saturation_adu)
    curve = Polynomial([float(increments.mean())])
    if len(times) < FEWEST:
        return LightCurve(first, last, curve.integ(), 0)
    scatter = float(np.sum((increments - curve(times)) ** 2))
    chosen = 0
    for degree in range(1, HIGHEST_DEGREE + 1):
        trial = Polynomial.fit(times, increments, degree)
        rest = float(np.sum((increments - trial(times)) ** 2))
        free = len(times) - degree - 1
        gained, spent = scatter - rest, degree - chosen
        if free > 0 and gained / spent > stats.f.isf(SIGNIFICANCE, spent, free) * max(rest / free, 1e-30):
            curve, scatter, chosen = trial, rest, degree
    return LightCurve(first, last, curve.convert().integ(), chosen)


def _mean_increments(stack: Reads, edges: NDArray[np.int_], saturation_adu: float) -> NDArray[np.float64]:
    """Return the mean rise per sub-frame between neighbouring edges, over the pixels that stay below saturation."""
    last = stack.plane(int(edges[-1]))
    with np.errstate(invalid="ignore"):
        use = np.isfinite(last) & (last <= saturation_adu)
    if not use.any():
        return np.ones(len(edges) - 1)
    planes = (stack.plane(int(edge))[use].astype(np.float64) for edge in edges)
    before = next(planes)
    rises = []
    for plane, length in zip(planes, np.diff(edges), strict=True):
        rise = plane - before
        rises.append(rise[np.isfinite(rise)].mean() / length)
        before = plane
    return np.asarray(rises)
