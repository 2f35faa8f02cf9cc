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


@dataclass(frozen=True)
class Shift:
    """How far a target lies beside its source.

    Parameters
    ----------
    y, x
        Pixels down and to the right.
    scatter
        How far the crops disagree [px].
    crop
        Side of a crop [px].
    """

    y: float
    x: float
    scatter: float
    crop: int

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
        # the plain correlation: the phases alone, with all frequencies alike, are those of the noise
        shift, *_ = phase_cross_correlation(one, other, upsample_factor=10, normalization=None)
        found.append(-shift)
    shifts = np.array(found)
    y, x = np.median(shifts, axis=0)
    scatter = float(np.median(np.hypot(*(shifts - (y, x)).T)))
    return Shift(float(y), float(x), scatter, len(one))


def _crops(source: Stack, target: Stack) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Cut the middle and the four quarters out of members evenly spread over the stack."""
    members, (height, width) = source.shape[0], source.shape[-2:]
    side = min(CROP, max(min(height, width) // 2, min(height, width, 32)))
    tops, lefts = ((0, size - side, (size - side) // 2) for size in (height, width))
    corners = [(tops[2], lefts[2]), *((top, left) for top in tops[:2] for left in lefts[:2])]
    lead = (0, source.shape[2] // 2)[: len(source.shape) - 3]
    window = np.hanning(side + 2)[1:-1]
    taper = window[:, np.newaxis] * window
    crops = []
    for number, (top, left) in enumerate(corners):
        member = members * number // CROPS
        place = (member, *lead, slice(top, top + side), slice(left, left + side))
        one, other = (np.asarray(stack[place], np.float64) for stack in (source, target))
        crops.append(((one - one.mean()) * taper, (other - other.mean()) * taper))
    return crops
