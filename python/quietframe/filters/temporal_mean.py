"""Replace each pixel by its mean over neighbouring frames: a window that runs along time.

Use it when the scene stands still, or is slow compared with the window, and the noise differs from frame to frame: as a
series of difference images of a ramp. What changes within the window is smeared over it.

Frame t becomes the mean of the frames t - window // 2 to t + window // 2, pixel by pixel; at both ends the window is
cut off, so that it holds fewer frames there. There are as many frames after as before, and float32 values. A window of
0 takes the whole series: every frame is then its mean. Sums are made in double precision. Not for the raw reads of an
exposure, which only rise: subtract first (``ndr subtract``).

References
----------
Savitzky, Golay, "Smoothing and differentiation of data by simplified least squares procedures", Analytical Chemistry
36, 1964 (the moving average is its first case).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.neighbours import over_neighbours
from ..kernels.options import require_odd
from ..kernels.pixels import require_pixels

AXES = "TYX"
NOISE = "any"
WINDOW = True
GRID: dict[str, tuple[Any, ...]] = {"window": (3, 5, 9, 15)}

_LARGEST = 100_001


@dataclass(frozen=True)
class Settings:
    """Options of the mean over time.

    Parameters
    ----------
    window
        How many frames, an odd number; 0 takes all of them.
    """

    window: int = 5

    def __post_init__(self) -> None:
        if self.window != 0 or isinstance(self.window, bool):
            require_odd("window", self.window, 1, _LARGEST)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks along t, y, x [frames, px]; None for the whole series."""
    return (settings.window // 2, 0, 0) if settings.window else None


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the filtered series.

    Parameters
    ----------
    image
        TYX.
    settings
        Options.

    Returns
    -------
    ndarray
        Same shape, float32.
    """
    pixels = require_pixels(image, AXES)
    if settings.window == 0:
        whole = pixels.mean(axis=0, dtype=np.float64)
        return np.repeat(whole[None].astype(np.float32), len(pixels), axis=0)
    far = min(settings.window // 2, len(pixels) - 1)
    offsets = np.zeros((2 * far + 1, 3), dtype=np.int64)
    offsets[:, 0] = np.arange(-far, far + 1)
    return over_neighbours(pixels, offsets, median=False)
