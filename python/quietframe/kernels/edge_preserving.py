"""Averages over neighbours that count the less the more their values differ: bilateral filter, Perona-Malik diffusion.

Single precision; the exponential is written so that one instruction works on many pixels.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bands import over_bands

Floats = NDArray[np.float32]

_NARROWEST = 1e-30  # its reciprocal is still a single-precision number
_LIMIT = np.float32(32)
_PART = np.float32(-1 / 64)
_ONE = np.float32(1)
_C2, _C3, _C4, _C5, _C6 = (np.float32(1 / f) for f in (2, 6, 24, 120, 720))


@njit(nogil=True, cache=True)
def falling(u: np.float32) -> np.float32:
    """Return exp(-u) for u >= 0, with a relative error below 1e-5 up to u = 10; above 32 it is exp(-32), about 1e-14.

    A polynomial for exp(-u / 64), squared six times.
    """
    a = min(u, _LIMIT) * _PART
    power = _ONE + a * (_ONE + a * (_C2 + a * (_C3 + a * (_C4 + a * (_C5 + a * _C6)))))
    power *= power
    power *= power
    power *= power
    power *= power
    power *= power
    return power * power


def bilateral(pixels: Floats, half: int, sigma_space: float, sigma_range: float) -> Floats:
    """Return the mean of a square window, weighted by Gaussians of distance and of difference in value.

    Parameters
    ----------
    pixels
        YX. What lies outside counts as the nearest edge pixel.
    half
        Half width of the window, its middle left out [px].
    sigma_space
        Standard deviation of the Gaussian of distance [px].
    sigma_range
        Standard deviation of the Gaussian of difference, > 0 [unit of the image].
    """
    offset = np.arange(-half, half + 1, dtype=np.float64) / sigma_space
    near = np.exp(-0.5 * (offset**2 + offset[:, np.newaxis] ** 2)).astype(np.float32)
    padded = np.pad(pixels, half, mode="edge")
    result = np.empty(pixels.shape, dtype=np.float32)
    sharpness = np.float32(np.sqrt(0.5) / max(sigma_range, _NARROWEST))
    over_bands(lambda start, stop: _bilateral_rows(padded, near, sharpness, result, start, stop), len(result))
    return result


@njit(nogil=True, cache=True, error_model="numpy")
def _bilateral_rows(padded: Floats, near: Floats, sharpness: np.float32, result: Floats, start: int, stop: int) -> None:
    side = near.shape[0]
    half = side // 2
    width = result.shape[1]
    changes = np.empty(width, dtype=np.float32)
    weights = np.empty(width, dtype=np.float32)
    for y in range(start, stop):
        middle = padded[y + half, half : half + width]
        changes[:] = 0
        weights[:] = 0
        for v in range(side):
            for u in range(side):
                other = padded[y + v, u : u + width]
                for x in range(width):
                    difference = other[x] - middle[x]
                    scaled = difference * sharpness
                    weight = near[v, u] * falling(scaled * scaled)
                    changes[x] += weight * difference
                    weights[x] += weight
        for x in range(width):
            result[y, x] = middle[x] + changes[x] / weights[x]


def diffuse(pixels: Floats, kappa: float, *, steps: int, time_step: float, rational: bool) -> Floats:
    """Return the image after explicit steps of Perona-Malik diffusion between four neighbours; its mean stays.

    Parameters
    ----------
    pixels
        YX.
    kappa
        Difference at which the conductance has fallen to 1/e, or to a half, > 0 [unit of the image].
    steps
        How many.
    time_step
        Part of each difference that flows in one step where the conductance is 1; stable up to 0.25.
    rational
        Conductance 1 / (1 + (d / kappa)^2) instead of exp(-(d / kappa)^2).
    """
    source = np.pad(pixels, 1, mode="edge")
    target = np.empty_like(source)
    numbers = (np.float32(1 / max(kappa, _NARROWEST)), np.float32(time_step))
    for _ in range(steps):
        over_bands(partial(_diffuse_rows, source, target, numbers, rational), len(pixels))
        target[0], target[-1] = target[1], target[-2]
        source, target = target, source
    return source[1:-1, 1:-1].copy()


@njit(nogil=True, cache=True)
def _diffuse_rows(
    source: Floats, target: Floats, numbers: tuple[np.float32, np.float32], rational: bool, start: int, stop: int
) -> None:
    sharpness, time_step = numbers
    width = source.shape[1] - 2
    for y in range(start + 1, stop + 1):
        here, above, below = source[y, 1:-1], source[y - 1, 1:-1], source[y + 1, 1:-1]
        left, right, changed = source[y, :width], source[y, 2:], target[y, 1:-1]
        if rational:
            for x in range(width):
                vertical = _rational_flow(above[x] - here[x], sharpness) + _rational_flow(below[x] - here[x], sharpness)
                level = _rational_flow(left[x] - here[x], sharpness) + _rational_flow(right[x] - here[x], sharpness)
                changed[x] = here[x] + time_step * (vertical + level)
        else:
            for x in range(width):
                vertical = _flow(above[x] - here[x], sharpness) + _flow(below[x] - here[x], sharpness)
                level = _flow(left[x] - here[x], sharpness) + _flow(right[x] - here[x], sharpness)
                changed[x] = here[x] + time_step * (vertical + level)
        target[y, 0], target[y, width + 1] = changed[0], changed[width - 1]


@njit(nogil=True, cache=True)
def _flow(difference: np.float32, sharpness: np.float32) -> np.float32:
    scaled = difference * sharpness
    flow: np.float32 = difference * falling(scaled * scaled)
    return flow


@njit(nogil=True, cache=True, error_model="numpy")
def _rational_flow(difference: np.float32, sharpness: np.float32) -> np.float32:
    scaled = difference * sharpness
    flow: np.float32 = difference / (_ONE + scaled * scaled)
    return flow
