"""What is in an image, in one pass over its planes: range, mean, saturation, values that are no numbers, noise.

The noise estimate needs no second exposure: a filter that cancels every sum of a function of x and one of y leaves
noise (and edges, which raise it a little). It assumes white noise; noise correlated between neighbours, as after
demosaicing or blurring, comes out too small.

References
----------
Immerkær, Fast noise variance estimation, Computer Vision and Image Understanding 64 (1996), equation 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

NOISE_PLANES = 16
"""The noise is measured on this many of the first planes."""

_FULL_SCALES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
_ROWS_AT_ONCE = 256  # keeps copies small when one plane is large


@dataclass(frozen=True)
class Overview:
    """Statistics of all pixels; None where no pixel allows an answer.

    Parameters
    ----------
    minimum, maximum, mean
        Of the finite values, in the image's unit.
    n_pixels, n_nan, n_infinite
        Numbers of pixels.
    saturation_level
        The full scale that the largest value has reached (255, 1023, 4095, 16383, 65535 or the type's largest), None
        when it stays below one, or for real numbers.
    saturated_fraction
        Part of the pixels at that level, 0 when there is none.
    noise_sigma
        Standard deviation of the noise, median over planes, in the image's unit.
    n_noise_planes
        How many planes that is from.
    """

    minimum: float | None
    maximum: float | None
    mean: float | None
    n_pixels: int
    n_nan: int
    n_infinite: int
    saturation_level: int | None
    saturated_fraction: float
    noise_sigma: float | None
    n_noise_planes: int


def noise_sigma(plane: NDArray[Any]) -> float | None:
    """Estimate the standard deviation of white noise in a plane (Y, X).

    Parameters
    ----------
    plane
        Any unit.

    Returns
    -------
    float or None
        In the plane's unit; None when the plane is smaller than 3 x 3 or not finite.
    """
    height, width = int(plane.shape[0]), int(plane.shape[1])
    if height < 3 or width < 3:
        return None
    total = 0.0
    for top in range(0, height - 2, _ROWS_AT_ONCE):
        block = plane[top : top + _ROWS_AT_ONCE + 2].astype(np.float64)
        rows = block[:-2] - 2 * block[1:-1] + block[2:]
        total += float(np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]).sum())
    if not math.isfinite(total):
        return None
    # The filter (1, -2, 1) x (1, -2, 1) has the norm 6; the mean of |normal| is sqrt(2 / pi).
    return math.sqrt(math.pi / 2) * total / (6 * (height - 2) * (width - 2))


class _Sums:
    """Running range, sums and counts."""

    def __init__(self) -> None:
        self.minimum, self.maximum = math.inf, -math.inf
        self.total = 0.0
        self.n_pixels = self.n_nan = self.n_infinite = self.n_at_maximum = 0

    def add(self, block: NDArray[Any]) -> None:
        self.n_pixels += block.size
        if block.dtype.kind == "f":
            finite = np.isfinite(block)
            if not finite.all():
                n_nan = int(np.isnan(block).sum())
                self.n_nan += n_nan
                self.n_infinite += int(block.size - finite.sum()) - n_nan
                block = block[finite]
        if not block.size:
            return
        self.minimum = min(self.minimum, float(block.min()))
        self.total += float(block.sum(dtype=np.float64))
        top = float(block.max())
        if top > self.maximum:
            self.maximum, self.n_at_maximum = top, 0
        if top == self.maximum:
            self.n_at_maximum += int((block == block.max()).sum())


def overview(planes: Iterable[NDArray[Any]]) -> Overview:
    """Go once through the planes (Y, X) of an image.

    Parameters
    ----------
    planes
        Integers or real numbers, all of one type; memory is one plane.

    Raises
    ------
    InputError
        When there is no plane.
    """
    sums, sigmas = _Sums(), []
    dtype: np.dtype[Any] | None = None
    for number, plane in enumerate(planes):
        dtype = plane.dtype
        for top in range(0, plane.shape[0], _ROWS_AT_ONCE):
            sums.add(plane[top : top + _ROWS_AT_ONCE])
        if number < NOISE_PLANES:
            sigmas.append(noise_sigma(plane))
    if dtype is None:
        raise InputError("there is no plane to look at; give an image with at least one")
    measured = [sigma for sigma in sigmas if sigma is not None]
    finite = sums.n_pixels - sums.n_nan - sums.n_infinite
    level = _saturation_level(sums.maximum, dtype)
    return Overview(
        minimum=sums.minimum if finite else None,
        maximum=sums.maximum if finite else None,
        mean=sums.total / finite if finite else None,
        n_pixels=sums.n_pixels,
        n_nan=sums.n_nan,
        n_infinite=sums.n_infinite,
        saturation_level=level,
        saturated_fraction=sums.n_at_maximum / sums.n_pixels if level is not None else 0.0,
        noise_sigma=float(np.median(measured)) if measured else None,
        n_noise_planes=len(measured),
    )


def _saturation_level(maximum: float, dtype: np.dtype[Any]) -> int | None:
    """Return the full scale that the largest value has reached; cameras of 10 to 14 bit store their values in 16."""
    if dtype.kind not in "iu" or not math.isfinite(maximum):
        return None
    scales = {int(np.iinfo(dtype).max), *(scale for scale in _FULL_SCALES if dtype.itemsize > 1)}
    return int(maximum) if int(maximum) in scales else None
