"""Tiles: a partition with context, aligned and balanced; the vectors that the Groovy twin is tested on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietframe.errors import OptionError
from quietframe.inference.tiles import AUTO_TILE, ONE_SHOT_PIXELS, Span, plan_axis, plan_tiles, tile_side


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
    tiles = plan_tiles(*image.shape, 28, halo, step, 8)
    assert len(tiles) == 4 * 5
    for t in tiles:
        part = box(image[t.in_y0 : t.in_y1, t.in_x0 : t.in_x1])
        rows = slice(t.out_y0 - t.in_y0, t.out_y1 - t.in_y0)
        columns = slice(t.out_x0 - t.in_x0, t.out_x1 - t.in_x0)
        result[t.out_y0 : t.out_y1, t.out_x0 : t.out_x1] = part[rows, columns]
    assert np.array_equal(result, whole)


def test_vectors_shared_with_fiji_hold(vectors) -> None:
    cases = vectors("tiles.json")["cases"]
    assert len(cases) > 40
    for case in cases:
        arguments = [case[key] for key in ("height", "width", "tile", "halo", "step", "minimum")]
        assert [list(tile) for tile in plan_tiles(*arguments)] == case["tiles"], case["name"]


def test_one_vector_by_hand() -> None:
    """Length 100, tile 64, halo 8, step 4: core_max 48, 3 tiles, ceil(100/3)=34 -> 36."""
    assert plan_axis(100, 64, 8, 4, 8) == [Span(0, 44, 0, 36), Span(28, 80, 36, 72), Span(64, 100, 72, 100)]


def test_auto_is_one_shot_up_to_two_megapixels() -> None:
    assert tile_side(2048, 1024, "auto") == 0
    assert tile_side(2048, 1025, "auto") == AUTO_TILE == 768
    assert ONE_SHOT_PIXELS == 2048 * 1024
    assert tile_side(10, 10, None) == tile_side(10, 10, 0) == 0


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
        plan_tiles(500, 500, tile, 32, 4, 8)  # type: ignore[arg-type]


def test_the_smallest_tile_works() -> None:
    assert len(plan_axis(500, 68, 32, 4, 8)) == 125
