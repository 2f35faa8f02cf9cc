"""ImageJ's rank filters and its 3D mean and median against the real ImageJ 1.54p: the same pixels, every one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.fiji.bridge import Fiji
from quietframe.filters import load_filter

TYPES = ("uint8", "uint16", "float32")
# Odd sides; smaller than the disc; one row, one column, one pixel; more rows than threads.
SHAPES = [(67, 101), (33, 12), (5, 7), (1, 41), (41, 1), (1, 1)]
COMMANDS = {
    "median": "Median...",
    "mean": "Mean...",
    "minimum": "Minimum...",
    "maximum": "Maximum...",
    "variance": "Variance...",
}
# Those in which ImageJ's discs differ, the steps in its table among them, and one that none of the images holds.
RADII = (0.5, 1.0, 1.5, 1.74, 1.75, 2.0, 2.5, 2.84, 3.0, 4.0, 5.5, 7.3, 10.0, 20.0, 45.0)


def pixels_of(dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Noise over the whole range of the type with equal values, a bright and a dark block, and an offset for floats."""
    rng = np.random.default_rng([len(dtype), *shape])
    if dtype == "float32":
        image = rng.normal(1000, 300, shape).astype(np.float32)
        image[rng.random(shape) < 0.1] = rng.normal(0, 1e5)
    else:
        image = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    image[..., : shape[-2] // 3, : shape[-1] // 2] = image.max()
    image[..., -(shape[-2] // 4) :, -(shape[-1] // 4) :] = image.min()
    image[..., ::3, ::5] //= 64
    return image


def assert_same(found: NDArray[Any], expected: NDArray[Any], what: object) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    different = np.argwhere(found != expected)
    assert len(different) == 0, f"{what}: {len(different)} pixels differ, the first at {different[0].tolist()}"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", COMMANDS)
def test_the_discs_give_imagej_s_pixels(imagej: Fiji, name: str, dtype: str) -> None:
    rank = load_filter(name)
    for radius in RADII:
        for shape in SHAPES:
            image = pixels_of(dtype, shape)
            expected = imagej.run_command(COMMANDS[name], image, radius=radius)["result"].array
            assert_same(rank.apply(image, rank.Settings(radius=radius)), expected, (radius, shape))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stack_is_filtered_plane_by_plane_as_in_imagej(imagej: Fiji, name: str) -> None:
    rank = load_filter(name)
    image = pixels_of("float32", (3, 40, 37))
    expected = imagej.run_command(COMMANDS[name], image, radius=2.5, stack=True)["result"].array
    found = np.stack([rank.apply(plane, rank.Settings(radius=2.5)) for plane in image])
    assert_same(found, expected, "stack")


@pytest.mark.parametrize("dtype", TYPES)
def test_despeckle_has_imagej_s_pixels(imagej: Fiji, dtype: str) -> None:
    despeckle = load_filter("despeckle")
    for shape in [*SHAPES, (3, 23, 20)]:
        image = pixels_of(dtype, shape)
        expected = imagej.run_command("Despeckle", image, stack=True)["result"].array
        found = [despeckle.apply(plane, despeckle.Settings()) for plane in image.reshape(-1, *shape[-2:])]
        assert_same(np.stack(found).reshape(shape), expected, shape)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("dont_subtract", [False, True])
def test_top_hat_has_imagej_s_pixels(imagej: Fiji, dtype: str, light: bool, dont_subtract: bool) -> None:
    top_hat = load_filter("top-hat")
    words = {"light": light, "don't": dont_subtract}
    for radius in (0.5, 1.5, 2.0, 7.0, 20.0):
        for shape in SHAPES:
            image = pixels_of(dtype, shape)
            expected = imagej.run_command("Top Hat...", image, radius=radius, **words)["result"].array
            settings = top_hat.Settings(radius=radius, light=light, dont_subtract=dont_subtract)
            assert_same(top_hat.apply(image, settings), expected, (radius, shape))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("which", ["Bright", "Dark"])
def test_remove_outliers_has_imagej_s_pixels(imagej: Fiji, dtype: str, which: str) -> None:
    outliers = load_filter("remove-outliers")
    for threshold in (0.0, 2.5, 50.0, 300.5, 20000.0):
        for radius, shape in ((0.5, (33, 12)), (1.5, (67, 101)), (2.0, (5, 7)), (2.0, (67, 101)), (9.0, (67, 101))):
            image = pixels_of(dtype, shape)
            options = {"radius": radius, "threshold": threshold, "which": which}
            expected = imagej.run_command("Remove Outliers...", image, **options)["result"].array
            settings = outliers.Settings(radius=radius, threshold=threshold, which=which.lower())
            assert_same(outliers.apply(image, settings), expected, (threshold, radius, shape))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name, command", [("mean-3d", "Mean 3D..."), ("median-3d", "Median 3D...")])
def test_the_ellipsoids_give_imagej_s_voxels(imagej: Fiji, dtype: str, name: str, command: str) -> None:
    rank = load_filter(name)
    radii = [(0.5, 0.5, 0.5), (1, 1, 1), (1.5, 1.5, 1.5), (2, 2, 1), (2, 2, 2), (3, 2.5, 0.7), (0, 1, 0), (0.3, 0, 3)]
    for x, y, z in radii:
        for shape in [(3, 23, 31), (7, 9, 20), (2, 1, 19), (19, 3, 2)]:
            image = pixels_of(dtype, shape)
            source = imagej.to_imageplus(image, "ZYX")
            expected = imagej.run_command(command, source, x=x, y=y, z=z)["result"].array
            settings = rank.Settings(radius_x=x, radius_y=y, radius_z=z)
            assert_same(rank.apply(image, settings), expected, (x, y, z, shape))


def test_imagej_ends_where_the_settings_end(imagej: Fiji) -> None:
    image = pixels_of("float32", (30, 20))
    for name, largest in (("median", 100.0), ("maximum", 1000.0)):
        rank = load_filter(name)
        expected = imagej.run_command(COMMANDS[name], image, radius=largest)["result"].array
        assert_same(rank.apply(image, rank.Settings(radius=largest)), expected, name)
