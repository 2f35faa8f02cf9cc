"""Cut an image into overlapping tiles, the same way in Python and in Fiji.

A network sees only its receptive field, so a tile that carries a *halo* of context on every side, and is cropped
again, gives the same pixels as the whole image. Tiles start at multiples of the network's *step* (2^depth), so that
its pooling grid does not shift, and are balanced: equal steps, no ragged last tile that computes an overlap for a few
pixels. Planes are cut along y and x, volumes along z, y and x, where each axis has its own halo and step.
``fiji_scripts/library`` repeats this file in Groovy; both are tested on ``tests/vectors/tiles.json``.

>>> plan_axis(100, 64, 8, 4, 8)
[Span(in_start=0, in_stop=44, out_start=0, out_stop=36), Span(in_start=28, in_stop=80, out_start=36, out_stop=72), \
Span(in_start=64, in_stop=100, out_start=72, out_stop=100)]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from quietframe.errors import OptionError

TileSize = int | Literal["auto"] | None

ONE_SHOT_PIXELS = 2_097_152
"""Up to this many pixels, ``auto`` runs the whole plane at once (about 2 GB of activations)."""

AUTO_TILE = 768
"""Side of a tile that ``auto`` takes for larger planes, pixels, halo included."""

BLOCK_VOXELS = 2_097_152
"""Largest block of a volume that ``auto`` takes, voxels, halo included (about 2 GB of activations)."""


class Span(NamedTuple):
    """One tile along one axis, pixels: what is read, and what of the result is kept."""

    in_start: int
    in_stop: int
    out_start: int
    out_stop: int


def plan_axis(length: int, tile: int | None, halo: int, step: int, minimum: int) -> list[Span]:
    """Cut one axis into balanced, aligned tiles.

    Parameters
    ----------
    length
        Pixels along the axis.
    tile
        Largest tile, halo included, pixels; None or 0 = one shot.
    halo
        Context that is computed and cropped, pixels per side, a multiple of `step`.
    step
        Tiles start at multiples of this.
    minimum
        A tile at the far border shorter than this reads further back.

    Raises
    ------
    OptionError
        When `tile` leaves no room between its two halos.
    """
    if not tile or length <= tile:
        return [Span(0, length, 0, length)]
    core_max = (tile - 2 * halo) // step * step
    if core_max < step:
        raise OptionError(
            f"tile {tile} is too small for this model: with {halo} pixels of context on each side and a step of "
            f"{step} the smallest tile is {2 * halo + step}; give at least that, or auto"
        )
    count = _ceil_div(length, core_max)
    core = _ceil_div(_ceil_div(length, count), step) * step
    spans = []
    for start in range(0, length, core):
        stop = min(start + core, length)
        in_start, in_stop = max(0, start - halo), min(length, stop + halo)
        if in_stop - in_start < minimum:
            in_start = max(0, (in_stop - minimum) // step * step)
        spans.append(Span(in_start, in_stop, start, stop))
    return spans


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def plan_tiles(
    shape: Sequence[int], tile: TileSize, halo: Sequence[int], step: Sequence[int], minimum: Sequence[int]
) -> list[tuple[Span, ...]]:
    """Cut a plane or a volume into tiles, the last axis fastest.

    Parameters
    ----------
    shape
        Height and width, or depth, height and width, pixels.
    tile
        Largest side of a tile, halo included, pixels, for every axis; ``"auto"`` as in `tile_sides`; None or 0 = one
        shot.
    halo, step, minimum
        As `plan_axis`, one number per axis of `shape`.

    Returns
    -------
    list of tuple of Span
        One span per axis; the regions that are kept cover the image once.

    Raises
    ------
    OptionError
        When `tile` is too small, negative, or a word other than ``auto``.
    """
    sides = tile_sides(shape, tile, halo, step, minimum)
    return list(itertools.product(*map(plan_axis, shape, sides, halo, step, minimum)))


def tile_sides(
    shape: Sequence[int], tile: TileSize, halo: Sequence[int], step: Sequence[int], minimum: Sequence[int]
) -> tuple[int, ...]:
    """Return the sides of a tile in pixels, one per axis, 0 for the whole axis at once.

    ``auto`` cuts planes above 2 Mpixel into tiles of 768. Of a volume above `BLOCK_VOXELS` it takes the blocks of at
    most that many voxels that compute the fewest voxels twice: first all of z is tried, then every depth on the grid
    of the steps from the smallest on, each with the largest square in y and x.

    Raises
    ------
    OptionError
        When `tile` is negative or a word other than ``auto``.
    """
    if tile is None or tile == 0:
        return (0,) * len(shape)
    if tile == "auto":
        if len(shape) == 3:
            return _block_sides(shape, halo, step, minimum)
        return (0, 0) if math.prod(shape) <= ONE_SHOT_PIXELS else (AUTO_TILE, AUTO_TILE)
    if isinstance(tile, bool) or not isinstance(tile, int) or tile < 0:
        raise OptionError(f"tile must be auto, 0 (one shot) or a number of pixels; got {tile!r}")
    return (tile,) * len(shape)


def _block_sides(
    shape: Sequence[int], halo: Sequence[int], step: Sequence[int], minimum: Sequence[int]
) -> tuple[int, ...]:
    if math.prod(shape) <= BLOCK_VOXELS:
        return (0, 0, 0)
    smallest = [2 * context + grid for context, grid in zip(halo, step, strict=True)]
    best, least = tuple(smallest), -1
    for depth in (shape[0], *range(smallest[0], shape[0], step[0])):
        side = math.isqrt(BLOCK_VOXELS // depth) // step[1] * step[1]
        sides = (depth, side, side)
        if any(0 < length > given < need for length, given, need in zip(shape, sides, smallest, strict=True)):
            continue
        voxels = 1
        for spans in map(plan_axis, shape, sides, halo, step, minimum):
            voxels *= sum(span.in_stop - span.in_start for span in spans)
        if least < 0 or voxels < least:
            best, least = sides, voxels
    return best
