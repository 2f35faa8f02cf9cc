"""Replace each voxel by the median of the ellipsoid around it: ImageJ's Median 3D.

Use it when single voxels are wrong by much and the planes lie so close that a structure is seen in several of them. It
removes what is smaller than half the ellipsoid. Never across time: what moves is removed.

The pixels are those of ImageJ 1.54p, ``run("Median 3D...", "x=2 y=2 z=2")``, all of them, for 8-bit, 16-bit and float
stacks: of an even number of voxels, as at the borders, the mean of the middle two; 8-bit and 16-bit stacks are rounded
half up. Voxels outside the stack are left out. ImageJ makes one stack of the frames of a one-channel series; here each
volume is filtered for itself.

References
----------
ImageJ 1.54p, classes ``ij.plugin.Filters3D`` and ``ij.process.StackProcessor``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..kernels.neighbours import ellipsoid, over_neighbours
from ..kernels.options import require_number
from ..kernels.pixels import require_pixels
from ..kernels.rounding import as_type

AXES = "ZYX"
NOISE = "any"
IMAGEJ = 'run("Median 3D...", "x=2 y=2 z=2")'
GRID: dict[str, tuple[Any, ...]] = {"radius_x": (1.0, 2.0), "radius_y": (1.0, 2.0), "radius_z": (0.0, 1.0, 2.0)}

_LARGEST = 100.0


@dataclass(frozen=True)
class Settings:
    """Options of the median in three directions.

    Parameters
    ----------
    radius_x
        Half axis of the ellipsoid along rows, ImageJ's x [px]; 0 leaves the direction out.
    radius_y
        Half axis along columns, ImageJ's y [px].
    radius_z
        Half axis across planes, ImageJ's z [planes].
    """

    radius_x: float = 2.0
    radius_y: float = 2.0
    radius_z: float = 2.0

    def __post_init__(self) -> None:
        for name in ("radius_x", "radius_y", "radius_z"):
            require_number(name, getattr(self, name), 0.0, _LARGEST, "px")


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far a voxel looks along z, y, x [px]."""
    return math.ceil(settings.radius_z), math.ceil(settings.radius_y), math.ceil(settings.radius_x)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the filtered stack.

    Parameters
    ----------
    image
        ZYX.
    settings
        Options.

    Returns
    -------
    ndarray
        Same shape; uint8, uint16 or float32, as the input.
    """
    pixels = require_pixels(image, AXES)
    offsets = ellipsoid(settings.radius_x, settings.radius_y, settings.radius_z)
    return as_type(over_neighbours(pixels, offsets, median=True), pixels.dtype)
