"""The Groovy tiles: the vectors that Python's tiles are tested on."""

from __future__ import annotations

from typing import Any

import pytest

from quietframe.fiji.bridge import Fiji


def test_tiles_equal_the_vectors(imagej: Fiji, vectors: Any) -> None:
    from jpype import JArray, JClass, JInt

    plan, integers = JClass("org.quietframe.Tiles").plan, JArray(JInt)
    cases = vectors("tiles.json")["cases"]
    assert cases
    for case in cases:
        sizes = [integers([case[key]] * 2) for key in ("halo", "step", "minimum")]
        tiles = plan(integers([case["height"], case["width"]]), str(case["tile"]), *sizes)
        found = [[*y[:2], *x[:2], *y[2:], *x[2:]] for y, x in tiles]
        assert [list(map(int, tile)) for tile in found] == case["tiles"], case["name"]


def test_blocks_of_volumes_equal_the_vectors(imagej: Fiji, vectors: Any) -> None:
    from jpype import JArray, JClass, JInt

    plan, integers = JClass("org.quietframe.Tiles").plan, JArray(JInt)
    cases = vectors("tiles.json")["volumes"]
    assert cases
    for case in cases:
        sizes = [integers(case[key]) for key in ("halo", "step", "minimum")]
        tiles = plan(integers(case["shape"]), str(case["tile"]), *sizes)
        assert [[list(map(int, span)) for span in tile] for tile in tiles] == case["tiles"], case["name"]


def test_a_tile_without_room_between_its_halos_is_refused(imagej: Fiji) -> None:
    from jpype import JClass

    tiles = JClass("org.quietframe.Tiles")
    for tile in (5, 40, 64, 67):
        with pytest.raises(JClass("org.quietframe.Problem"), match="smallest tile is 68"):
            tiles.planAxis(1000, tile, 32, 4, 8)
    assert len(tiles.planAxis(1000, 68, 32, 4, 8)) == 250
