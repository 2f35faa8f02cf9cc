"""Do the two pictures of a pair lie on each other? The shift between them, measured on a few crops.

A net that learns from shifted pairs learns the shift, and blurs where it differs from pair to pair.

References
----------
Guizar-Sicairos, Thurman & Fienup 2008, "Efficient subpixel image registration algorithms", Optics Letters 33, 156.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stacks import Stack

CROP = 192
"""Largest side of a crop [px]."""

WORTH_SAYING = 0.5
"""Shifts below this are not mentioned [px]."""

CROPS = 5

FEWEST = 3
"""Crops that must show the same structure in both pictures."""

BLUR_PX = 1.0
"""Gaussian blur before (sigma): it costs structures of a pixel, and noise much more."""

SIGMA = 24.0
"""A crop counts when its correlation is above this over its side; blurred noise stays below 16 over it."""


@dataclass(frozen=True)
class Shift:
    """How far a target lies beside its source.

    Parameters
    ----------
    y, x
        Pixels down and to the right.
    scatter
        How far the crops disagree [px].
    crops
        Crops that showed the same in both; below `FEWEST` of them nothing is known.
    """

    y: float
    x: float
    scatter: float
    crops: int

    @property
    def length(self) -> float:
        """Length of the shift [px]."""
        return float(np.hypot(self.y, self.x))

    @property
    def is_seen(self) -> bool:
        """Whether the crops agree on a shift that is worth saying; without structure they do not."""
        return self.length >= WORTH_SAYING and self.scatter <= max(0.3, 0.2 * self.length)


def measure_shift(source: Stack, target: Stack) -> Shift:
    """Measure the shift of a target against its source, by the cross-correlation of five crops.

    Parameters
    ----------
    source, target
        Stacks of the same members, height and width; the first channel is taken, of volumes the middle plane.

    Returns
    -------
    Shift
        The median over the crops.
    """
    from skimage.registration import phase_cross_correlation

    found = []
    for one, other in _crops(source, target):
        if not (one.any() and other.any()):  # constant
            continue
        # the plain correlation: the phases alone, with all frequencies alike, are those of the noise
        shift, error, _ = phase_cross_correlation(one, other, upsample_factor=10, normalization=None)
        if 1.0 - error**2 > (SIGMA / len(one)) ** 2:
            found.append(-shift)
    if len(found) < FEWEST:
        return Shift(0.0, 0.0, np.inf, len(found))
    shifts = np.array(found)
    y, x = np.median(shifts, axis=0)
    scatter = float(np.median(np.hypot(*(shifts - (y, x)).T)))
    return Shift(float(y), float(x), scatter, len(found))


def _crops(source: Stack, target: Stack) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Cut the middle and the four quarters out of members evenly spread over the stack."""
    from scipy import ndimage

    members, (height, width) = source.shape[0], source.shape[-2:]
    side = min(CROP, max(1, min(height, width) // 2))
    tops, lefts = ((0, size - side, (size - side) // 2) for size in (height, width))
    corners = [(tops[2], lefts[2]), *((top, left) for top in tops[:2] for left in lefts[:2])]
    lead = (0, source.shape[2] // 2)[: len(source.shape) - 3]
    window = np.hanning(side + 2)[1:-1]
    taper = window[:, np.newaxis] * window
    crops = []
    for number, (top, left) in enumerate(corners):
        member = members * number // CROPS
        place = (member, *lead, slice(top, top + side), slice(left, left + side))
        one, other = (ndimage.gaussian_filter(stack[place].astype(np.float64), BLUR_PX) for stack in (source, target))
        crops.append(((one - one.mean()) * taper, (other - other.mean()) * taper))
    return crops
