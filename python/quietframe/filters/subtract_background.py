"""Subtract a smooth background that lies under (or over) the objects: ImageJ's Subtract Background.

Use it when brightness drifts over the field (uneven illumination, out-of-focus haze) and objects are narrower than the
ball's radius; whatever is wider counts as background. It takes no noise away.

The pixels are those of ImageJ 1.54p, ``run("Subtract Background...", "rolling=50 stack")`` with its words ``light``,
``create``, ``sliding`` and ``disable``. The ball is rolled under the image after a mean of 3x3 pixels (``disable``
leaves that out), above radius 10 on an image shrunken by 2, 4 or 8; the sliding paraboloid slides parabolas along
rows, columns and diagonals and does not take objects in the corners for background. 8-bit and 16-bit images are
rounded half up and cut off; on them a light background becomes white (255, 65535), on float images 0. ImageJ from
1.54t on gives other pixels with ``sliding`` (corners, and twice the offset after smoothing). Where the image is so
small that a side shrinks to one pixel, ImageJ fails or extrapolates; here that pixel is repeated. Every plane for
itself.

References
----------
Sternberg 1983, "Biomedical image processing", IEEE Computer 16(1); ImageJ 1.54p, class
``ij.plugin.filter.BackgroundSubtracter`` (M. Castle, J. Keller; sliding paraboloid: M. Schmid, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.background import make_ball, rolled_ball
from ..kernels.options import require_number
from ..kernels.parabola import slid_parabola
from ..kernels.pixels import require_pixels
from ..kernels.rounding import as_type

AXES = "YX"
NOISE = "any"
IMAGEJ = 'run("Subtract Background...", "rolling=50 stack")'
GRID: dict[str, tuple[float, ...]] = {}

_SMALLEST = 0.001
_LARGEST_BALL = 2000.0
_LARGEST_PARABOLA = 1e9


@dataclass(frozen=True)
class Settings:
    """Options of the background subtraction.

    Parameters
    ----------
    rolling
        Radius of the ball, or of the paraboloid's curvature at its top [px]; larger than the largest object.
    light
        The background is bright and the objects are dark.
    create
        Return the background itself instead of subtracting it.
    sliding
        Slide a paraboloid instead of rolling a ball.
    disable
        Disable the smoothing before the background is searched.
    """

    rolling: float = 50.0
    light: bool = False
    create: bool = False
    sliding: bool = False
    disable: bool = False

    def __post_init__(self) -> None:
        require_number("rolling", self.rolling, _SMALLEST, _LARGEST_PARABOLA if self.sliding else _LARGEST_BALL, "px")


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]; None for the paraboloid and where the image is shrunken in blocks."""
    ball = make_ball(min(settings.rolling, _LARGEST_BALL))
    if settings.sliding or ball.shrink > 1:
        return None
    return (len(ball.heights), len(ball.heights))


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the image without its background, or the background.

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
    values = pixels.astype(np.float32, order="C", copy=False)
    search = slid_parabola if settings.sliding else rolled_ball
    background = search(values, settings.rolling, light=settings.light, smooth=not settings.disable)
    if settings.create:
        return as_type(background, pixels.dtype)
    difference = values - background
    if settings.light and pixels.dtype.kind == "u":
        # ImageJ adds the white level and the half for rounding at once, as one single-precision number.
        white = np.float32(np.iinfo(pixels.dtype).max)
        shifted: NDArray[Any] = np.clip(difference + (white + np.float32(0.5)), 0, white).astype(pixels.dtype)
        return shifted
    return as_type(difference, pixels.dtype)
