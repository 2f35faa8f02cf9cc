"""A picture as filters take it: which planes go together, and how they are read, whole or part by part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..images import Image, ImageMeta, ImageReader
from ..inference.scratch import Scratch, is_large, release
from .blocks import Source
from .run import Filter, plain_pixels

_THIRD = "TZC"
_KEPT_PX = 2**24


@dataclass(frozen=True)
class Picture:
    """Where pixels come from.

    Parameters
    ----------
    meta
        Shape, axes and description, in the order of the result.
    numbers
        Number of each plane where it is read; shape that of the picture without YX.
    dtype
        Type of the pixels as filters take them.
    stored
        Type of the pixels where they are read.
    load
        Reads a plane by its number.
    region
        Reads a part of a plane: number, rows, columns.
    has_regions
        Whether that reads less than the plane.
    """

    meta: ImageMeta
    numbers: NDArray[np.int64]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    load: Callable[[int], NDArray[Any]]
    region: Callable[[int, slice, slice], NDArray[Any]]
    has_regions: bool


def picture_of(
    owner: Image | ImageReader, meta: ImageMeta, numbers: NDArray[np.int64], dtype: Literal["float32"] | None
) -> Picture:
    """Make a picture of an image or an open file.

    Parameters
    ----------
    owner
        Where the pixels are.
    meta, numbers
        As `quietframe.images.file_order` gives them.
    dtype
        ``float32`` converts the pixels before they are filtered.
    """
    if isinstance(owner, Image):
        planes = owner.array.reshape(-1, *owner.array.shape[-2:])
        stored, has_regions = planes.dtype, True

        def load(number: int) -> NDArray[Any]:
            return _converted(planes[number], dtype)

        def region(number: int, rows: slice, columns: slice) -> NDArray[Any]:
            return _converted(planes[number, rows, columns], dtype)
    else:
        stored, has_regions = np.dtype(owner.dtype), owner.block != tuple(owner.shape[-2:])

        def load(number: int) -> NDArray[Any]:
            return _converted(owner.plane(number), dtype)

        def region(number: int, rows: slice, columns: slice) -> NDArray[Any]:
            return _converted(owner.region(number, rows, columns), dtype)

    kept = _converted(np.zeros(1, stored), dtype).dtype
    return Picture(meta, numbers, kept, stored, load, region, has_regions)


def _converted(pixels: NDArray[Any], dtype: str | None) -> NDArray[Any]:
    pixels = plain_pixels(pixels)
    return pixels if dtype is None else pixels.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Groups:
    """Which planes are filtered together.

    Parameters
    ----------
    numbers
        Numbers of the planes of each group, axes (group, along).
    places
        For each plane of the result its group and its place in it.
    along
        Axis that is filtered along; empty where planes are filtered by themselves.
    lead
        Letters and sizes of the axes before YX.
    """

    numbers: NDArray[np.int64]
    places: tuple[tuple[int, int], ...]
    along: str
    lead: tuple[tuple[str, int], ...]

    def where(self, group: int) -> tuple[int | slice, ...]:
        """Return the index of a group in the result, without YX."""
        outer = [size for letter, size in self.lead if letter != self.along]
        at = iter(np.unravel_index(group, outer) if outer else ())
        return tuple(slice(None) if letter == self.along else int(next(at)) for letter, _ in self.lead)


def plan_groups(picture: Picture, job: Filter, along: str | None) -> Groups:
    """Say which planes a filter takes together.

    Parameters
    ----------
    picture
        The picture.
    job
        The filter.
    along
        Axis to take in place of the filter's own third one; None for its own.

    Raises
    ------
    OptionError
        When the picture does not have that axis, or the filter has no third one.
    """
    axes, shape = picture.meta.axes, picture.meta.shape
    letter = _third_axis(job, axes, shape, along)
    lead = tuple(zip(axes[:-2], shape[:-2], strict=True))
    if not letter:
        flat = picture.numbers.reshape(-1, 1)
        return Groups(flat, tuple((group, 0) for group in range(len(flat))), "", lead)
    at = axes.index(letter)
    numbers = np.moveaxis(picture.numbers, at, -1)
    outer = np.arange(numbers[..., 0].size).reshape((*numbers.shape[:-1], 1))
    groups = np.moveaxis(np.broadcast_to(outer, numbers.shape), -1, at)
    depth = np.indices(picture.numbers.shape)[at]
    places = tuple((int(group), int(place)) for group, place in zip(groups.flat, depth.flat, strict=True))
    return Groups(numbers.reshape(-1, shape[at]), places, letter, lead)


def _third_axis(job: Filter, axes: str, shape: tuple[int, ...], along: str | None) -> str:
    """Return the axis that a filter takes besides Y and X; empty for filters of planes."""
    name = job.name.replace("_", "-")
    if len(job.axes) == 2:
        if along is not None:
            more = "; --dimensions 3 filters volumes" if hasattr(job.settings, "dimensions") else ""
            raise OptionError(f"{name} filters every plane by itself, so --along {along} means nothing{more}")
        return ""
    wanted = (along or job.axes[0]).upper()
    others = [letter for letter in axes[:-2] if letter in _THIRD]
    if wanted in others:
        return wanted
    has = f"the picture has axes {axes}, shape {tuple(shape)}"
    advice = (
        f": --along {' or --along '.join(others)} takes that axis instead" if others else "; take a filter of planes"
    )
    if along is not None and wanted not in _THIRD:
        raise OptionError(f"--along must be T, Z or C; got {along!r}")
    raise OptionError(f"{name} filters along the axis {wanted}, but {has}{advice}")


def stacked(picture: Picture, numbers: NDArray[np.int64], planar: bool) -> NDArray[Any]:
    """Load the planes of a group: a plane (YX) where `planar`, else a volume or series."""
    if planar:
        return picture.load(int(numbers[0]))
    volume = np.empty((len(numbers), *picture.meta.shape[-2:]), picture.dtype)
    for place, number in enumerate(numbers):
        volume[place] = picture.load(int(number))
    return volume


def source_of(picture: Picture, numbers: NDArray[np.int64], planar: bool, scratch: Scratch) -> Source:
    """Give a group to be read part by part; planes of which no part can be read are decoded once, beside the output."""
    shape = (*(() if planar else (len(numbers),)), *picture.meta.shape[-2:])
    if not picture.has_regions:
        copied = scratch.array((len(numbers), *picture.meta.shape[-2:]), picture.dtype)
        for place, number in enumerate(numbers):
            copied[place] = picture.load(int(number))
            release(copied)
        return Source(shape, picture.dtype, lambda place: np.array((copied[0] if planar else copied)[place]))

    def read(place: tuple[slice, ...]) -> NDArray[Any]:
        rows, columns = place[-2:]
        if planar:
            return picture.region(int(numbers[0]), rows, columns)
        return np.stack([picture.region(int(number), rows, columns) for number in numbers[place[0]]])

    return Source(shape, picture.dtype, read)


def count_missing(picture: Picture) -> int:
    """Count the pixels that are NaN, infinite or beyond float32.

    Raises
    ------
    InputError
        When no pixel of the picture is anything else.
    """
    if picture.stored.kind != "f":
        return 0
    height, width = picture.meta.shape[-2:]
    rows = height if not picture.has_regions else max(1, _KEPT_PX // width)
    missing = 0
    for number in picture.numbers.flat:
        for start in range(0, height, rows):
            if picture.has_regions:
                part = picture.region(int(number), slice(start, min(height, start + rows)), slice(0, width))
            else:
                part = picture.load(int(number))
            missing += part.size - int(np.count_nonzero(np.isfinite(part)))
    if missing == math.prod(picture.meta.shape):
        raise InputError(f"none of the {missing} pixels is finite: there is nothing to filter")
    return missing


def sampled(picture: Picture, numbers: NDArray[np.int64], side: int = 2048, most: int = 9) -> list[NDArray[Any]]:
    """Return a group's planes, or, where they are too large for memory, squares spread over the middle one."""
    shape = picture.meta.shape[-2:]
    if not is_large((len(numbers), *shape), np.float32):
        return [picture.load(int(number)) for number in numbers]
    middle, across = int(numbers[len(numbers) // 2]), math.isqrt(most)
    starts = [[round(step * max(0, size - side) / max(1, across - 1)) for step in range(across)] for size in shape]
    return [
        picture.region(middle, slice(top, top + side), slice(left, left + side))
        for top in sorted(set(starts[0])) for left in sorted(set(starts[1]))
    ]  # fmt: skip
