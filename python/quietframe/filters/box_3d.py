"""Replace each voxel by the mean of the box around it: the 3-D moving average.

Use it when planes lie so close that a structure is seen in several of them and a plain average is wanted, as a measure
for better filters. It blurs in all three directions. Never across time: what moves is smeared.

All voxels of the box count the same. Outside the stack the nearest pixel inside is repeated. The result is float32.
ImageJ has no such command: its Mean 3D takes an ellipsoid (`mean_3d`).

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

AXES = "ZYX"
NOISE = "any"
WINDOW = True
GRID: dict[str, tuple[Any, ...]] = {"size": (3, 5, 7), "size_z": (1, 3)}

_LARGEST = 10_001


@dataclass(frozen=True)
class Settings:
    """Options of the box filter.

    Parameters
    ----------
    size
        Width and height of the box, an odd number [px].
    size_z
        Its depth, an odd number [planes].
    """

    size: int = 3
    size_z: int = 3

    def __post_init__(self) -> None:
        require_odd("size", self.size, 1, _LARGEST)
        require_odd("size_z", self.size_z, 1, _LARGEST)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a pixel looks [px]."""
    far = settings.size // 2
    return settings.size_z // 2, far, far


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the smoothed stack.

    Parameters
    ----------
    image
        ZYX.
    settings
        Options.

    Returns
    -------
    ndarray
        Same shape, float32.
    """
    from scipy.ndimage import uniform_filter

    pixels = require_pixels(image, AXES)
    sizes = (settings.size_z, settings.size, settings.size)
    return np.asarray(uniform_filter(pixels, sizes, output=np.float32, mode="nearest"))
