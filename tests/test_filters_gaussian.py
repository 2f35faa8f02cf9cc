"""Gaussian Blur, Unsharp Mask, Gaussian Blur 3D: against SciPy in double precision, closed forms, and their own halo.

That the pixels are ImageJ's own is tested in tests/fiji/test_filters_gaussian_imagej.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from quietframe.errors import InputError, OptionError
from quietframe.filters import gaussian_blur, gaussian_blur_3d, unsharp_mask

SHAPES = [(45, 71), (9, 130), (1, 60), (60, 1), (2, 3), (1, 1)]
LIMITS = {0.0: 0.0, 0.5: 1.4e-8, 1.0: 2.4e-8, 2.0: 1.7e-6, 3.5: 1.4e-5}  # by sigma; see the first test


def exact(image: NDArray[Any], sigma: Any) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = gaussian_filter(image.astype(np.float64), sigma, mode="nearest", truncate=6)
    return blurred


def blur(image: NDArray[Any], sigma: float) -> NDArray[Any]:
    return gaussian_blur.apply(image, gaussian_blur.Settings(sigma=sigma))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 3.5])
def test_it_is_the_gaussian_that_scipy_computes_in_double_precision(
    shape: tuple[int, int], sigma: float, rng: np.random.Generator
) -> None:
    image = rng.uniform(0, 1, shape).astype(np.float32)
    # The kernel is bent to zero near 0.0002 of its middle instead of going on. Half the sum of the absolute differences
    # between it and the Gaussian bounds the error in each direction: LIMITS; single-precision sums add less than 5e-7.
    assert np.abs(blur(image, sigma) - exact(image, sigma)).max() < 2 * LIMITS[sigma] + 5e-7


@pytest.mark.parametrize("shape", [(45, 71), (1, 60), (150, 140)])
@pytest.mark.parametrize("sigma", [8.6, 12.0, 20.0, 60.0])
def test_shrunken_lines_come_close_to_the_gaussian(
    shape: tuple[int, int], sigma: float, rng: np.random.Generator
) -> None:
    image = exact(rng.uniform(0, 1, shape), 1)
    # Three smoothings whose variances add up to sigma^2 are not quite a Gaussian: below 0.2 % of the range.
    assert np.abs(blur(image, sigma) - exact(image, sigma)).max() < 2e-3 * np.ptp(image)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0, 8.5, 9.0, 33.0])
def test_the_brightness_of_a_point_is_kept(sigma: float) -> None:
    size = 2 * round(6 * sigma) + 61
    image = np.zeros((size, size), dtype=np.float32)
    image[size // 2, size // 2] = 1000
    # Some thousand single-precision values of about 1000 / sigma^2, each right to 6e-8.
    assert blur(image, sigma).sum(dtype=np.float64) == pytest.approx(1000, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 3.0, 15.0, 1e5])
@pytest.mark.parametrize("dtype, value", [("uint8", 255), ("uint16", 65535), ("uint16", 0), ("float32", -12.5)])
def test_a_constant_image_stays_constant(sigma: float, dtype: str, value: float) -> None:
    for shape in SHAPES:
        image = np.full(shape, value, dtype=dtype)
        # Kernels are normalised to single precision: two directions, up to 120 terms of relative error 6e-8.
        np.testing.assert_allclose(blur(image, sigma), image, rtol=1e-5 if dtype == "float32" else 0)


@pytest.mark.parametrize("sigma", [0.4, 2.0, 8.5])
def test_a_tile_with_its_halo_has_the_pixels_of_the_whole(sigma: float, rng: np.random.Generator) -> None:
    image = rng.uniform(0, 1000, (160, 150)).astype(np.float32)
    far = gaussian_blur.halo(gaussian_blur.Settings(sigma=sigma))
    assert far is not None
    whole = blur(image, sigma)
    tile = blur(image[60 - far[0] : 80 + far[0], 55 - far[1] : 95 + far[1]], sigma)
    np.testing.assert_array_equal(tile[far[0] : far[0] + 20, far[1] : far[1] + 40], whole[60:80, 55:95])


def test_wide_blurs_and_no_blur_say_how_far_they_look() -> None:
    assert gaussian_blur.halo(gaussian_blur.Settings(sigma=8.51)) is None
    assert gaussian_blur.halo(gaussian_blur.Settings(sigma=0.0)) == (0, 0)
    assert gaussian_blur_3d.halo(gaussian_blur_3d.Settings(x=1, y=2, z=0)) == (0, 10, 6)
    assert gaussian_blur_3d.halo(gaussian_blur_3d.Settings(x=1, y=2, z=9)) is None
    assert unsharp_mask.halo(unsharp_mask.Settings(radius=30)) is None


@pytest.mark.parametrize("sigma", [2.0, 14.0])
def test_the_number_of_threads_changes_no_pixel(
    sigma: float, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = rng.uniform(0, 1000, (211, 190)).astype(np.float32)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(blur(image, sigma))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_the_input_is_left_alone_and_may_be_a_view(dtype: str, sigma: float, rng: np.random.Generator) -> None:
    image = rng.integers(0, 255, (60, 40)).astype(dtype)
    view = image[::2, ::-1].T
    before = image.copy()
    found = blur(view, sigma)
    np.testing.assert_array_equal(found, blur(np.ascontiguousarray(view), sigma))
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(found, image)


def test_unsharp_mask_is_its_formula_in_double_precision(rng: np.random.Generator) -> None:
    image = exact(rng.uniform(0, 1, (50, 61)), 1).astype(np.float32)
    found = unsharp_mask.apply(image, unsharp_mask.Settings(radius=2, mask=0.6))
    # The kernel of this command ends at 0.01 of its middle: its blur is off by some 1e-3 of the range.
    assert np.abs(found - (image - 0.6 * exact(image, 2)) / 0.4).max() < 3e-3
    np.testing.assert_array_equal(unsharp_mask.apply(image, unsharp_mask.Settings(mask=0)), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_unsharp_mask_leaves_constant_images_alone_and_does_not_wrap(dtype: str) -> None:
    image = np.full((20, 30), np.iinfo(dtype).max, dtype=dtype)
    np.testing.assert_array_equal(unsharp_mask.apply(image, unsharp_mask.Settings()), image)
    image[:, 15:] = 0
    sharp = unsharp_mask.apply(image, unsharp_mask.Settings(radius=2, mask=0.9))
    np.testing.assert_array_equal(sharp, image)  # rims beyond black and white are cut off


@pytest.mark.parametrize("widths", [(1.0, 2.0, 0.5), (0.0, 1.0, 3.5), (3.5, 0.0, 0.0)])
@pytest.mark.parametrize("shape", [(7, 33, 30), (1, 20, 5), (12, 1, 1)])
def test_three_directions_are_scipy_s_gaussian(
    widths: tuple[float, float, float], shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    image = rng.uniform(0, 1, shape).astype(np.float32)
    x, y, z = widths
    found = gaussian_blur_3d.apply(image, gaussian_blur_3d.Settings(x=x, y=y, z=z))
    limit = sum(LIMITS[width] for width in widths) + 7e-7  # as above, three directions
    assert np.abs(found - exact(image, (z, y, x))).max() < limit


def test_without_z_every_plane_is_blurred_for_itself(rng: np.random.Generator) -> None:
    stack = rng.integers(0, 65535, (4, 31, 29), dtype=np.uint16)
    found = gaussian_blur_3d.apply(stack, gaussian_blur_3d.Settings(x=1.5, y=1.5, z=0))
    np.testing.assert_array_equal(found, np.stack([blur(plane, 1.5) for plane in stack]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: gaussian_blur.Settings(sigma=-1), "sigma must be .* got -1"),
        (lambda: gaussian_blur.Settings(sigma=float("nan")), "sigma must be .* got nan"),
        (lambda: gaussian_blur.Settings(sigma=float("inf")), "sigma must be .* got inf"),
        (lambda: gaussian_blur.Settings(sigma=1e20), "sigma must be .* 100000 px; got 1e\\+20"),
        (lambda: unsharp_mask.Settings(radius=-0.5), "radius must be .* got -0.5"),
        (lambda: unsharp_mask.Settings(mask=1.0), "mask must be .* 0.99; got 1.0"),
        (lambda: unsharp_mask.Settings(mask=-0.1), "mask must be .* got -0.1"),
        (lambda: unsharp_mask.Settings(mask=float("nan")), "mask must be .* got nan"),
        (lambda: gaussian_blur_3d.Settings(y=-2), "y must be .* got -2"),
        (lambda: gaussian_blur_3d.Settings(z=float("inf")), "z must be .* got inf"),
    ],
)
def test_options_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize("image", [np.zeros((3, 4, 5)), np.zeros(4), np.zeros((0, 4)), np.full((3, 3), np.nan)])
def test_images_it_cannot_blur_are_refused(image: NDArray[Any]) -> None:
    with pytest.raises(InputError):
        blur(image, 1.0)


def test_a_single_plane_is_no_stack() -> None:
    with pytest.raises(InputError, match="ZYX"):
        gaussian_blur_3d.apply(np.zeros((5, 6)), gaussian_blur_3d.Settings())
