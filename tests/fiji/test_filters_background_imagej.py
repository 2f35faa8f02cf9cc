"""Subtract Background against the real ImageJ 1.54p: the same pixels, every one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.fiji.bridge import Fiji
from quietframe.filters import load_filter

TYPES = ("uint8", "uint16", "float32")
# Odd sides, long and flat, one row and one column; large enough to be shrunken by 8.
SHAPES = [(67, 101), (35, 22), (1, 41), (41, 1), (3, 5), (1, 1), (150, 137)]
SHRINK = ((10, 1), (30, 2), (100, 4), (np.inf, 8))


def scene(dtype: str, shape: tuple[int, ...], light: bool = False) -> NDArray[Any]:
    """Spots, one of them in a corner, on a sloped background with noise."""
    rng = np.random.default_rng([len(dtype), *shape])
    y, x = np.mgrid[: shape[-2], : shape[-1]].astype(np.float64)
    image = 40 + 0.2 * y + 0.3 * x + rng.normal(0, 6, shape)
    spots = [(0, 0), *rng.uniform(0, 1, (6, 2)) * shape[-2:]]
    for top, left in spots:
        image = image + 120 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 18)
    if light:
        image = 255 - image
    return {
        "uint8": lambda: np.clip(image, 0, 255).astype(np.uint8),
        "uint16": lambda: np.clip(image * 200, 0, 65535).astype(np.uint16),
        "float32": lambda: (image * 0.01 - 1).astype(np.float32),
    }[dtype]()


def imagej_can(shape: tuple[int, ...], radius: float, sliding: bool) -> bool:
    """Whether no side shrinks to a single pixel: there ImageJ itself fails."""
    shrink = next(shrink for limit, shrink in SHRINK if radius <= limit)
    return sliding or shrink == 1 or min(shape) > shrink


def assert_same(found: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    different = np.argwhere(found != expected)
    assert len(different) == 0, f"{what}: {len(different)} pixels differ, the first at {different[0].tolist()}"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("rolling", [0.5, 3.0, 10.0, 10.5, 30.0, 50.0, 100.0, 130.0])
def test_the_background_has_imagej_s_pixels(imagej: Fiji, dtype: str, sliding: bool, rolling: float) -> None:
    background = load_filter("subtract-background")
    compared = 0
    for shape in SHAPES:
        if not imagej_can(shape, rolling, sliding):
            continue
        for words in (
            {},
            {"light": True},
            {"create": True},
            {"disable": True},
            {"light": True, "create": True, "disable": True},
        ):
            image = scene(dtype, shape, light="light" in words)
            options = {"rolling": rolling, "sliding": sliding, **words}
            expected = imagej.run_command("Subtract Background...", image, **options)["result"].array
            assert_same(background.apply(image, background.Settings(**options)), expected, f"{shape} {words}")
            compared += 1
    assert compared >= 10


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("rolling", [8.0, 20.0])
def test_a_stack_is_done_plane_by_plane_as_in_imagej(imagej: Fiji, dtype: str, sliding: bool, rolling: float) -> None:
    background = load_filter("subtract-background")
    image = scene(dtype, (3, 41, 57))
    settings = background.Settings(rolling=rolling, sliding=sliding)
    options = {"rolling": rolling, "sliding": sliding, "stack": True}
    expected = imagej.run_command("Subtract Background...", image, **options)["result"].array
    assert_same(np.stack([background.apply(plane, settings) for plane in image]), expected, "stack")


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("light", [False, True])
def test_white_noise_over_the_whole_range_has_imagej_s_pixels(imagej: Fiji, sliding: bool, light: bool) -> None:
    background = load_filter("subtract-background")
    rng = np.random.default_rng(5)
    noise = [
        rng.integers(0, 255, (64, 71), dtype=np.uint8, endpoint=True),
        rng.integers(0, 65535, (64, 71), dtype=np.uint16, endpoint=True),
        rng.normal(0, 1e4, (64, 71)).astype(np.float32),
    ]
    for image in noise:
        for rolling in (4.0, 60.0):
            options = {"rolling": rolling, "sliding": sliding, "light": light}
            expected = imagej.run_command("Subtract Background...", image, **options)["result"].array
            assert_same(background.apply(image, background.Settings(**options)), expected, f"{image.dtype} {rolling}")
