"""Replace each pixel by the mean of the square around it: the moving average, or box filter.

Use it when a plain average is wanted, as a measure for better filters or before binning. It blurs edges, and its square
shape leaves a pattern that a Gaussian does not.

All pixels of the square count the same. Outside the image the nearest pixel inside is repeated. The result is float32.
ImageJ's Mean takes a disc instead (`mean`); its Convolve with a kernel of ones is the same up to rounding.

References
----------
McDonnell, "Box-filtering techniques", Computer Graphics and Image Processing 17, 1981.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.options import require_odd
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "any"
WINDOW = True
GRID: dict[str, tuple[Any, ...]] = {"size": (3, 5, 7)}

_LARGEST = 10_001


@dataclass(frozen=True)
class Settings:
    """Options of the box filter.

    Parameters
    ----------
    size
        Width and height of the square, an odd number [px].
    """

    size: int = 3

    def __post_init__(self) -> None:
        require_odd("size", self.size, 1, _LARGEST)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]."""
    far = settings.size // 2
    return far, far


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the smoothed image.

    Parameters
    ----------
    image
        YX.
    settings
        Options.

    Returns
    -------
    ndarray
        Same shape, float32.
    """
    from scipy.ndimage import uniform_filter

    pixels = require_pixels(image, AXES)
    return np.asarray(uniform_filter(pixels, settings.size, output=np.float32, mode="nearest"))
