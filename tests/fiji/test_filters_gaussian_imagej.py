"""Gaussian Blur, Unsharp Mask and Gaussian Blur 3D against the real ImageJ 1.54p: the same pixels, every one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.fiji.bridge import Fiji
from quietframe.filters import load_filter

TYPES = ("uint8", "uint16", "float32")
# Odd sides; smaller than the kernel; one row, one column, one pixel; more rows than lines are taken together.
SHAPES = [(67, 101), (33, 12), (5, 7), (1, 41), (41, 1), (1, 1)]


def pixels_of(dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Noise over the whole range of the type with a bright and a dark block, so that rounding and clipping matter."""
    rng = np.random.default_rng([len(dtype), *shape])
    if dtype == "float32":
        image = rng.normal(100, 300, shape).astype(np.float32)
    else:
        image = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    image[..., : shape[-2] // 3, : shape[-1] // 2] = image.max()
    image[..., -(shape[-2] // 4) :, -(shape[-1] // 4) :] = image.min()
    return image


def assert_same(found: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    different = np.argwhere(found != expected)
    assert len(different) == 0, f"{what}: {len(different)} pixels differ, the first at {different[0].tolist()}"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "sigma", [0.0, 0.3, 0.5, 1.0, 1.7, 2.0, 3.5, 5.0, 8.0, 8.5, 8.6, 12.0, 13.37, 20.0, 60.0, 999.0]
)
def test_gaussian_blur_has_imagej_s_pixels(imagej: Fiji, dtype: str, sigma: float) -> None:
    gaussian = load_filter("gaussian-blur")
    for shape in SHAPES:
        image = pixels_of(dtype, shape)
        expected = imagej.run_command("Gaussian Blur...", image, sigma=sigma)["result"].array
        found = gaussian.apply(image, gaussian.Settings(sigma=sigma))
        assert_same(found, expected, f"{shape}")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("sigma", [1.0, 11.0])
def test_a_stack_is_blurred_plane_by_plane_as_in_imagej(imagej: Fiji, dtype: str, sigma: float) -> None:
    gaussian = load_filter("gaussian-blur")
    image = pixels_of(dtype, (3, 40, 37))
    expected = imagej.run_command("Gaussian Blur...", image, sigma=sigma, stack=True)["result"].array
    found = np.stack([gaussian.apply(plane, gaussian.Settings(sigma=sigma)) for plane in image])
    assert_same(found, expected, "stack")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "radius, mask", [(0.0, 0.5), (0.5, 0.3), (1.0, 0.6), (3.0, 0.9), (10.0, 0.6), (2.0, 0.0), (1.0, 0.99)]
)
def test_unsharp_mask_has_imagej_s_pixels(imagej: Fiji, dtype: str, radius: float, mask: float) -> None:
    unsharp = load_filter("unsharp-mask")
    for shape in SHAPES:
        image = pixels_of(dtype, shape)
        expected = imagej.run_command("Unsharp Mask...", image, radius=radius, mask=mask)["result"].array
        found = unsharp.apply(image, unsharp.Settings(radius=radius, mask=mask))
        assert_same(found, expected, f"{shape}")


@pytest.mark.parametrize("dtype", TYPES)
def test_a_stack_is_sharpened_plane_by_plane_as_in_imagej(imagej: Fiji, dtype: str) -> None:
    unsharp = load_filter("unsharp-mask")
    image = pixels_of(dtype, (3, 40, 37))
    expected = imagej.run_command("Unsharp Mask...", image, radius=1.5, mask=0.7, stack=True)["result"].array
    found = np.stack([unsharp.apply(plane, unsharp.Settings(radius=1.5, mask=0.7)) for plane in image])
    assert_same(found, expected, "stack")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "widths", [(2, 2, 2), (0.5, 1.5, 1), (0, 0, 1.5), (1, 0, 0), (0, 2.5, 0), (9, 10, 12), (1, 1, 0.3)]
)
@pytest.mark.parametrize("shape", [(3, 23, 31), (7, 9, 40), (2, 1, 19), (40, 5, 6)])
def test_gaussian_blur_3d_has_imagej_s_pixels(
    imagej: Fiji, dtype: str, widths: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    gaussian = load_filter("gaussian-blur-3d")
    image = pixels_of(dtype, shape)
    x, y, z = widths
    source = imagej.to_imageplus(image, "ZYX")
    expected = imagej.run_command("Gaussian Blur 3D...", source, x=x, y=y, z=z)["result"].array
    assert_same(gaussian.apply(image, gaussian.Settings(x=x, y=y, z=z)), expected, "volume")
