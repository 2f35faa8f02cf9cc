"""What an image is: an array, its axes, and what its file says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .. import axes as letters
from ..errors import InputError


@dataclass(frozen=True)
class ImageMeta:
    """Everything of an image but its pixels.

    Parameters
    ----------
    shape, axes
        Shape and letters over ``STCZYX``, ending in YX.
    pixel_size_um
        Micrometres per pixel, keys out of "ZYX" (X and Y together); empty when unknown.
    frame_interval_s
        Seconds from frame to frame; None when unknown.
    info
        Keys and texts of ImageJ's Info; lines that are no ``key = value`` under ``notes``.
    labels
        One slice label per plane in stored order (RGB samples share one), or none.
    """

    shape: tuple[int, ...]
    axes: str
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    frame_interval_s: float | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "axes", ending_in_yx(self.axes, self.shape))
        _check_calibration(self.pixel_size_um, self.frame_interval_s)

    @property
    def n_planes(self) -> int:
        """Number of YX planes."""
        return letters.planes_of(self.shape, self.axes)


@dataclass(frozen=True)
class Image:
    """An array and what its file says of it.

    Parameters
    ----------
    array
        Pixels.
    axes
        One letter of ``STCZYX`` per axis of the array, ending in YX.
    pixel_size_um, frame_interval_s, info, labels
        As in `ImageMeta`.
    remarks
        Sentences for the user about what was taken for granted when the file was read; not written to files.
    """

    array: NDArray[Any]
    axes: str
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    frame_interval_s: float | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", ending_in_yx(self.axes, self.array.shape))
        _check_calibration(self.pixel_size_um, self.frame_interval_s)

    @property
    def meta(self) -> ImageMeta:
        """Everything but the pixels, e.g. for `write_planes`."""
        return ImageMeta(self.array.shape, self.axes, self.pixel_size_um, self.frame_interval_s, self.info, self.labels)


def ending_in_yx(axes: str, shape: tuple[int, ...]) -> str:
    """Return the axes in capitals when they fit `shape` and end in YX.

    Raises
    ------
    InputError
        When they do not.
    """
    axes = letters.normalize(axes, shape)
    if not axes.endswith("YX"):
        raise InputError(f"axes {axes!r} must end in YX, as `quietframe info` shows them; shape {tuple(shape)}")
    return axes


def _check_calibration(pixel_size_um: Mapping[str, float], frame_interval_s: float | None) -> None:
    sizes = dict(pixel_size_um)
    wrong = [size for size in sizes.values() if not (math.isfinite(size) and size > 0)]
    if wrong or not set(sizes) <= set(letters.SPATIAL) or (sizes and not {"X", "Y"} <= set(sizes)):
        raise InputError(f"pixel sizes are micrometres above 0 for X and Y, and Z if there is one; got {sizes}")
    if frame_interval_s is not None and not (math.isfinite(frame_interval_s) and frame_interval_s > 0):
        raise InputError(f"the frame interval is seconds above 0, or None when unknown; got {frame_interval_s}")
