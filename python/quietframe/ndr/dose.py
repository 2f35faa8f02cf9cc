"""Dose time: the time in which fading or flickering light is steady.

Where the light changes alike in the whole image, a fit in clock time gives dim and bright pixels another mean (their
weights differ). In dose time, the light collected so far over its mean rate, the ramps are straight again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError
from .reads import Reads, as_reads
from .uneven import ReadPattern

PIXELS = 2**18
"""Pixels that are looked at."""

SMOOTH = 6
"""Degree of the polynomial that light without flicker follows."""

LEAST = 0.02
"""Shortest interval, of the mean one: noise must not turn time around."""


def dose_pattern(
    reads: Reads | NDArray[Any], *, first: int = 0, last: int | None = None, saturation_adu: float = np.inf
) -> ReadPattern:
    """Measure the light of each sub-frame from the whole image and make it the time axis.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    first, last
        Reads used, ``reads[first:last]``, from 0.
    saturation_adu
        Pixels with a read above this are left out.

    Returns
    -------
    ReadPattern
        Of all reads; the used ones span as many sub-frames as before, so that a rate is the mean rate over them.

    Raises
    ------
    InputError
        When no pixel is whole, or there is too little light to tell how it changes.
    """
    stack = as_reads(reads)
    stop = len(stack) if last is None else last
    step = max(1, int(np.sqrt(stack.shape[1] * stack.shape[2] / PIXELS)))
    whole = np.ones(stack.plane(first)[::step, ::step].shape, bool)
    start = stack.plane(first)[::step, ::step].astype(np.float64)
    for plane in stack.planes(first, stop):
        part = plane[::step, ::step]
        with np.errstate(invalid="ignore"):
            whole &= np.isfinite(part) & (part <= saturation_adu)
    if not whole.any():
        raise InputError("dose time needs pixels that are finite and unsaturated in every read; there is none")
    collected = np.where(whole, stack.plane(stop - 1)[::step, ::step].astype(np.float64) - start, 0.0)
    whole &= collected <= np.percentile(collected[whole], 99.9)  # a jump is no light
    away = _brightness(np.where(whole, collected, 0.0), whole)
    if away.std() < 0.1 * abs(collected[whole].mean()):
        away = np.ones_like(away)  # a flat image: there is nothing but the mean
    curve = []
    for plane in stack.planes(first, stop):
        rise = plane[::step, ::step][whole].astype(np.float64) - start[whole]
        curve.append(float(away @ rise))
    if not curve[-1] > 0.0:
        raise InputError("dose time needs light: the ramps of this exposure do not rise")
    n = stop - first
    gaps = np.maximum(_without_noise(np.diff(curve) / curve[-1] * (n - 1)), LEAST)
    gaps *= (n - 1) / gaps.sum()
    times = np.arange(len(stack), dtype=np.float64)
    times[first:stop] = first + np.concatenate([[0.0], np.cumsum(gaps)])
    return ReadPattern.of_times(times)


def _without_noise(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth the light of the sub-frames where what is not smooth is read noise, and no flicker.

    Read noise makes one gap longer and the next one shorter: neighbours correlate by -1/2. Flicker does not.
    """
    if len(gaps) < 8 * SMOOTH:
        return gaps
    # The curve is fitted, not its gaps: white noise in the curve is blue noise in the gaps.
    curve = np.concatenate([[0.0], np.cumsum(gaps)])
    time = np.arange(len(curve), dtype=np.float64)
    smooth = np.diff(legendre.Legendre.fit(time, curve, SMOOTH)(time))
    rest = gaps - smooth
    power = float(np.sum(rest**2))
    if power <= 0.0 or float(np.sum(rest[1:] * rest[:-1])) > -0.3 * power:
        return gaps
    return np.asarray(smooth)


def _brightness(collected: NDArray[np.float64], whole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much brighter than the mean the neighbours of each whole pixel are.

    Bright against dim pixels takes drift, which all pixels share, out of the curve. A pixel's own light would bring its
    own noise in.
    """
    count = ndimage.uniform_filter(whole.astype(np.float64), 5, mode="constant") * 25.0 - whole
    total = ndimage.uniform_filter(collected, 5, mode="constant") * 25.0 - collected
    light = (total / np.maximum(count, 1.0))[whole]
    return np.asarray(light - light.mean())
