"""Cut an image into overlapping tiles, the same way in Python and in Fiji.

A network sees only its receptive field, so a tile that carries a *halo* of context on every side, and is cropped
again, gives the same pixels as the whole image. Tiles start at multiples of the network's *step* (2^depth), so that
its pooling grid does not shift, and are balanced: equal steps, no ragged last tile that computes an overlap for a few
pixels. ``fiji_scripts/library`` repeats this file in Groovy; both are tested on ``tests/vectors/tiles.json``.

>>> plan_axis(100, 64, 8, 4, 8)
[Span(in_start=0, in_stop=44, out_start=0, out_stop=36), Span(in_start=28, in_stop=80, out_start=36, out_stop=72), \
Span(in_start=64, in_stop=100, out_start=72, out_stop=100)]
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from quietframe.errors import OptionError

ONE_SHOT_PIXELS = 2_097_152
"""Up to this many pixels, ``auto`` runs the whole image at once (about 2 GB of activations)."""

AUTO_TILE = 768
"""Side of a tile that ``auto`` takes for larger images, pixels, halo included."""


class Span(NamedTuple):
    """One tile along one axis, pixels: what is read, and what of the result is kept."""

    in_start: int
    in_stop: int
    out_start: int
    out_stop: int


class Tile(NamedTuple):
    """One tile, pixels: the region that is read, and the region of the image that its middle fills."""

    in_y0: int
    in_y1: int
    in_x0: int
    in_x1: int
    out_y0: int
    out_y1: int
    out_x0: int
    out_x1: int


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
    height: int, width: int, tile: int | Literal["auto"] | None, halo: int, step: int, minimum: int
) -> list[Tile]:
    """Cut an image into tiles, rows first.

    Parameters
    ----------
    height, width
        Size of the image, pixels.
    tile
        Largest side of a tile, halo included, pixels; ``"auto"`` = one shot up to 2 Mpixel, else 768; None or 0 =
        one shot.
    halo, step, minimum
        As `plan_axis`.

    Returns
    -------
    list of Tile
        The regions that are kept cover the image once.

    Raises
    ------
    OptionError
        When `tile` is too small, negative, or a word other than ``auto``.
    """
    side = tile_side(height, width, tile)
    rows = plan_axis(height, side, halo, step, minimum)
    columns = plan_axis(width, side, halo, step, minimum)
    return [Tile(*y[:2], *x[:2], *y[2:], *x[2:]) for y in rows for x in columns]


def tile_side(height: int, width: int, tile: int | Literal["auto"] | None) -> int:
    """Return the side of a tile in pixels, 0 for one shot.

    Raises
    ------
    OptionError
        When `tile` is negative or a word other than ``auto``.
    """
    if tile == "auto":
        return 0 if height * width <= ONE_SHOT_PIXELS else AUTO_TILE
    if tile is None:
        return 0
    if isinstance(tile, bool) or not isinstance(tile, int) or tile < 0:
        raise OptionError(f"tile must be auto, 0 (one shot) or a number of pixels; got {tile!r}")
    return tile
