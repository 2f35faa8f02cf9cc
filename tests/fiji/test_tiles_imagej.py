"""The Groovy tiles: the vectors that Python's tiles are tested on."""

from __future__ import annotations

from typing import Any

import pytest

from quietframe.fiji.bridge import Fiji


def test_tiles_equal_the_vectors(imagej: Fiji, vectors: Any) -> None:
    from jpype import JClass

    plan = JClass("org.quietframe.Tiles").plan
    cases = vectors("tiles.json")["cases"]
    assert cases
    for case in cases:
        sizes = [case[key] for key in ("height", "width")]
        rest = [case[key] for key in ("halo", "step", "minimum")]
        tiles = [list(map(int, tile)) for tile in plan(*sizes, str(case["tile"]), *rest)]
        assert tiles == case["tiles"], case["name"]


def test_a_tile_without_room_between_its_halos_is_refused(imagej: Fiji) -> None:
    from jpype import JClass

    tiles = JClass("org.quietframe.Tiles")
    for tile in (5, 40, 64, 67):
        with pytest.raises(JClass("org.quietframe.Problem"), match="smallest tile is 68"):
            tiles.planAxis(1000, tile, 32, 4, 8)
    assert len(tiles.planAxis(1000, 68, 32, 4, 8)) == 250
