"""Tiles: a partition with context, aligned and balanced; the vectors that the Groovy twin is tested on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietframe.errors import OptionError
from quietframe.inference.tiles import (
    AUTO_TILE,
    BLOCK_VOXELS,
    ONE_SHOT_PIXELS,
    Span,
    plan_axis,
    plan_tiles,
    tile_sides,
)


@st.composite
def axes_to_cut(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    step = draw(st.sampled_from([1, 2, 4, 8, 16]))
    halo = step * draw(st.integers(0, 6))
    tile = draw(st.integers(2 * halo + step, 2 * halo + 40 * step))
    length = draw(st.integers(1, 12 * tile))
    return length, tile, halo, step, draw(st.integers(0, tile))


@given(axes_to_cut())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_kept_regions_cover_the_axis_once_with_halo_or_border(case: tuple[int, int, int, int, int]) -> None:
    length, tile, halo, step, minimum = case
    spans = plan_axis(length, tile, halo, step, minimum)
    assert [pixel for span in spans for pixel in range(span.out_start, span.out_stop)] == list(range(length))
    for span in spans:
        assert span.in_start % step == 0
        assert 0 <= span.in_start <= max(0, span.out_start - halo)
        assert span.in_stop == min(length, span.out_stop + halo)
        assert span.in_stop - span.in_start <= max(tile, minimum + step)


@given(axes_to_cut())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_tiles_are_balanced(case: tuple[int, int, int, int, int]) -> None:
    length, tile, halo, step, minimum = case
    sizes = [span.out_stop - span.out_start for span in plan_axis(length, tile, halo, step, minimum)]
    assert len(set(sizes[:-1])) <= 1
    if len(sizes) == 1:
        return
    # n = ceil(length / core_max) tiles are enough, and no more are made; each is at most one step above the mean.
    core_max = (tile - 2 * halo) // step * step
    assert len(sizes) <= -(-length // core_max)
    assert sizes[0] <= -(-length // -(-length // core_max)) + step - 1
    assert all(size % step == 0 for size in sizes[:-1])


@given(axes_to_cut())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_tile_shorter_than_the_minimum_reads_further_back(case: tuple[int, int, int, int, int]) -> None:
    length, tile, halo, step, minimum = case
    for span in plan_axis(length, tile, halo, step, minimum):
        assert span.in_stop - span.in_start >= min(minimum, span.in_stop)


def test_a_moving_sum_over_tiles_equals_the_whole(rng: np.random.Generator) -> None:
    """Brute force of the purpose: an operation that sees `halo` pixels gives the same result through tiles."""
    halo, step = 4, 4
    image = rng.integers(0, 1000, (61, 83)).astype(np.int64)

    def box(array: np.ndarray) -> np.ndarray:
        padded = np.pad(array, halo)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * halo + 1, 2 * halo + 1))
        return windows.sum(axis=(2, 3))

    whole, result = box(image), np.full(image.shape, -1, np.int64)
    tiles = plan_tiles(image.shape, 28, (halo, halo), (step, step), (8, 8))
    assert len(tiles) == 4 * 5
    for y, x in tiles:
        part = box(image[y.in_start : y.in_stop, x.in_start : x.in_stop])
        rows = slice(y.out_start - y.in_start, y.out_stop - y.in_start)
        columns = slice(x.out_start - x.in_start, x.out_stop - x.in_start)
        result[y.out_start : y.out_stop, x.out_start : x.out_stop] = part[rows, columns]
    assert np.array_equal(result, whole)


def test_vectors_shared_with_fiji_hold(vectors) -> None:
    cases = vectors("tiles.json")["cases"]
    assert len(cases) > 40
    for case in cases:
        sizes = [[case[key]] * 2 for key in ("halo", "step", "minimum")]
        tiles = plan_tiles((case["height"], case["width"]), case["tile"], *sizes)
        assert [[*y[:2], *x[:2], *y[2:], *x[2:]] for y, x in tiles] == case["tiles"], case["name"]


def test_vectors_of_volumes_shared_with_fiji_hold(vectors) -> None:
    cases = vectors("tiles.json")["volumes"]
    assert len(cases) > 8
    assert {case["tile"] for case in cases} >= {"auto", 0}
    for case in cases:
        tiles = plan_tiles(*(case[key] for key in ("shape", "tile", "halo", "step", "minimum")))
        assert [[list(span) for span in tile] for tile in tiles] == case["tiles"], case["name"]


def test_one_vector_by_hand() -> None:
    """Length 100, tile 64, halo 8, step 4: core_max 48, 3 tiles, ceil(100/3)=34 -> 36."""
    assert plan_axis(100, 64, 8, 4, 8) == [Span(0, 44, 0, 36), Span(28, 80, 36, 72), Span(64, 100, 72, 100)]


def test_auto_is_one_shot_up_to_two_megapixels() -> None:
    grid = ((32, 32), (4, 4), (8, 8))
    assert tile_sides((2048, 1024), "auto", *grid) == (0, 0)
    assert tile_sides((2048, 1025), "auto", *grid) == (AUTO_TILE, AUTO_TILE) == (768, 768)
    assert ONE_SHOT_PIXELS == 2048 * 1024
    assert tile_sides((10, 10), None, *grid) == tile_sides((10, 10), 0, *grid) == (0, 0)


VOLUME = st.tuples(st.integers(1, 300), st.integers(8, 3000), st.integers(8, 3000))


@given(VOLUME, st.sampled_from([0, 4, 12, 28]), st.sampled_from([12, 28]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_blocks_of_a_volume_are_bounded_and_waste_no_more_than_whole_columns(
    shape: tuple[int, int, int], halo_z: int, halo: int
) -> None:
    grid = ((halo_z, halo, halo), (4, 4, 4), (8, 8, 8))
    sides = tile_sides(shape, "auto", *grid)
    blocks = plan_tiles(shape, "auto", *grid)
    voxels = [math.prod(span.in_stop - span.in_start for span in block) for block in blocks]
    # a block at the far border may read further back for the smallest size a network takes
    assert max(voxels) <= BLOCK_VOXELS * 2
    assert (sides == (0, 0, 0)) == (math.prod(shape) <= BLOCK_VOXELS) == (len(blocks) == 1)
    side = math.isqrt(BLOCK_VOXELS // shape[0]) // 4 * 4
    if side >= 2 * halo + 4:  # the first that is tried: all of z at once
        columns = [plan_axis(length, side, halo, 4, 8) for length in shape[1:]]
        tried = shape[0] * math.prod(sum(span.in_stop - span.in_start for span in spans) for spans in columns)
        assert sum(voxels) <= tried


def test_a_network_that_sees_far_gets_the_smallest_blocks_it_can_have() -> None:
    grid = ((124, 124, 124), (16, 16, 16), (16, 16, 16))
    assert tile_sides((900, 900, 900), "auto", *grid) == (264, 264, 264)
    assert len(plan_tiles((280, 280, 280), "auto", *grid)) == 18**3


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        (67, "smallest tile is 68"),
        (1, "smallest tile is 68"),
        (-5, "got -5"),
        ("big", "got 'big'"),
        (2.5, "got 2.5"),
        (True, "got True"),
    ],
)
def test_a_tile_that_cannot_be_is_refused(tile: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        plan_tiles((500, 500), tile, (32, 32), (4, 4), (8, 8))  # type: ignore[arg-type]


def test_the_smallest_tile_works() -> None:
    assert len(plan_axis(500, 68, 32, 4, 8)) == 125
