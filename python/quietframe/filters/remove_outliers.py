"""Replace only the pixels that stick out of their disc: ImageJ's Remove Outliers.

Use it when single pixels are far too bright or too dark (hot pixels, cosmic rays, dead pixels) and all others shall
stay as they are. Small real spots go too when they exceed the threshold.

The pixels are those of ImageJ 1.54p, ``run("Remove Outliers...", "radius=2 threshold=50 which=Bright stack")``, all of
them, for 8-bit, 16-bit and float images: a pixel that is more than the threshold above (bright) or below (dark) the
median of the disc around it becomes that median, compared in single precision. The threshold is in raw values, whatever
the calibration. An inverted lookup table, which makes ImageJ swap bright and dark, does not exist here. The disc takes
in what ImageJ's does, and pixels outside the image count as the nearest one inside. Every plane for itself.

References
----------
ImageJ 1.54p, class ``ij.plugin.filter.RankFilters`` (M. Schmid).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels.disc import reach, require_radius
from ..kernels.disc_median import disc_medians, disc_medians_at
from ..kernels.options import require_number, require_one_of
from ..kernels.pixels import require_pixels
from ..kernels.rank import disc_extremes
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Remove Outliers...", "radius=2 threshold=50 which=Bright stack")'
GRID: dict[str, tuple[Any, ...]] = {}

Floats = NDArray[np.float32]

_FEW = 0.1  # part of the pixels up to which medians are found one by one


@dataclass(frozen=True)
class Settings:
    """Options of the removal of outliers.

    Parameters
    ----------
    radius
        Of the disc, as ImageJ counts it: 0.5 is a cross of 5 pixels, 1 the square of 9, 2 a disc of 21 [px].
    threshold
        How far from the median a pixel may be [unit of the image].
    which
        Pixels that are too bright, or too dark.
    """

    radius: float = 2.0
    threshold: float = 50.0
    which: Literal["bright", "dark"] = "bright"

    def __post_init__(self) -> None:
        require_radius(self.radius, 100.0)
        require_number("threshold", self.threshold, 0.0, 1e30)
        require_one_of("which", self.which, ("bright", "dark"))


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]."""
    far = reach(settings.radius)
    return far, far


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the filtered image.

    Parameters
    ----------
    image
        YX.
    settings
        Options.

    Returns
    -------
    ndarray
        Same shape; uint8, uint16 or float32, as the input.
    """
    pixels = require_pixels(image, AXES)
    bright = settings.which == "bright"
    threshold = np.float32(settings.threshold)
    values = pixels.astype(np.float32)
    # The median lies between the extremes: where even those are near enough, nobody needs it.
    extremes = disc_extremes(pixels, settings.radius, largest=not bright)
    at = np.nonzero(_sticks_out(values, extremes, threshold, bright))
    if len(at[0]) > _FEW * values.size:
        medians = disc_medians(pixels, settings.radius)[at]
    else:
        medians = disc_medians_at(pixels, settings.radius, at)
    values[at] = np.where(_sticks_out(values[at], medians, threshold, bright), medians, values[at])
    return as_type(values, pixels.dtype)


def _sticks_out(values: Floats, of: Floats, threshold: np.float32, bright: bool) -> NDArray[np.bool_]:
    return np.asarray(values - threshold > of if bright else values + threshold < of)
