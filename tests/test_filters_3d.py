"""Filters over ellipsoids, boxes and time against brute force; against ImageJ: tests/fiji."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.filters import load_filter
from quietframe.kernels.neighbours import ellipsoid

# Voxels of ImageJ's ellipsoids by x, y, z.
VOXELS = {(1, 1, 1): 7, (1.5, 1.5, 1.5): 19, (2, 2, 1): 15, (2, 2, 2): 33, (0, 0, 0): 1, (1, 0, 0): 3}
SHAPES = [(5, 9, 11), (1, 6, 7), (3, 1, 20), (2, 1, 1)]


def volume(shape: tuple[int, ...], dtype: str = "float32") -> NDArray[Any]:
    return np.random.default_rng([*shape]).integers(0, 251, shape).astype(dtype)


def run(name: str, image: NDArray[Any], **options: Any) -> NDArray[Any]:
    module = load_filter(name)
    result: NDArray[Any] = module.apply(image, module.Settings(**options))
    return result


def brute_force(image: NDArray[Any], radii: tuple[float, float, float], of: Callable[..., Any]) -> NDArray[np.float64]:
    """Apply a function to the voxels of the ellipsoid that lie inside, voxel by voxel; radii in z, y, x."""
    result = np.empty(image.shape)
    grid = np.indices(image.shape)
    for at in np.ndindex(image.shape):
        distance = sum(((line - here) / radius) ** 2 for line, here, radius in zip(grid, at, radii, strict=True))
        result[at] = of(image[distance <= 1 + 1e-12])
    return result


@pytest.mark.parametrize("radii, count", VOXELS.items())
def test_ellipsoids_have_as_many_voxels_as_imagej_s(radii: tuple[float, float, float], count: int) -> None:
    assert len(ellipsoid(*radii)) == count


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radii", [(1.0, 1.0, 1.0), (2.0, 1.5, 2.5), (0.5, 3.0, 1.0)])
def test_ellipsoids_leave_out_what_lies_outside(shape: tuple[int, ...], radii: tuple[float, float, float]) -> None:
    image = volume(shape)
    options = dict(zip(("radius_z", "radius_y", "radius_x"), radii, strict=True))
    mean = brute_force(image, radii, np.mean)
    np.testing.assert_array_equal(run("mean-3d", image, **options), mean.astype(np.float32))
    # Halves of whole numbers are exact.
    np.testing.assert_array_equal(run("median-3d", image, **options), brute_force(image, radii, np.median))
    np.testing.assert_array_equal(run("mean-3d", image.astype(np.uint8), **options), np.floor(mean + 0.5))


@pytest.mark.parametrize("name", ["mean-3d", "median-3d"])
def test_a_radius_of_zero_leaves_its_direction_alone(name: str) -> None:
    image = volume((4, 8, 9))
    np.testing.assert_array_equal(run(name, image, radius_x=0.0, radius_y=0.0, radius_z=0.0), image)
    planes = [run(name, plane[None], radius_z=0.0)[0] for plane in image]
    np.testing.assert_array_equal(run(name, image, radius_z=0.0), planes)


@pytest.mark.parametrize("size, size_z", [(1, 1), (3, 3), (5, 1), (1, 3), (21, 9)])
def test_a_box_is_the_mean_of_its_voxels(size: int, size_z: int) -> None:
    image = volume((4, 9, 8), "uint16")
    sizes = (size_z, size, size)
    padded = np.pad(image.astype(float), [(side // 2, side // 2) for side in sizes], mode="edge")
    expected = np.lib.stride_tricks.sliding_window_view(padded, sizes).mean(axis=(3, 4, 5))
    # Three passes, each rounded to single precision.
    np.testing.assert_allclose(run("box-3d", image, size=size, size_z=size_z), expected, rtol=4e-7)


@pytest.mark.parametrize("name, of", [("temporal-median", np.median), ("temporal-mean", np.mean)])
@pytest.mark.parametrize("window", [1, 3, 5, 99])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_window_over_time_is_cut_off_at_both_ends(
    name: str, of: Callable[..., Any], window: int, frames: int
) -> None:
    series = volume((frames, 5, 6))
    half = window // 2
    expected = [of(series[max(0, t - half) : t + half + 1], axis=0) for t in range(frames)]
    found = run(name, series, window=window)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32(expected))


@pytest.mark.parametrize("name, of", [("temporal-median", np.median), ("temporal-mean", np.mean)])
def test_no_window_is_the_whole_series(name: str, of: Callable[..., Any]) -> None:
    series = volume((6, 4, 5), "uint16")
    found = run(name, series, window=0)
    assert found.shape == series.shape
    np.testing.assert_array_equal(found, np.broadcast_to(np.float32(of(series, axis=0)), series.shape))


@pytest.mark.parametrize("name", ["mean-3d", "median-3d", "box-3d", "temporal-median", "temporal-mean"])
def test_threads_memory_order_and_the_input_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume((6, 20, 30))
    before = image.copy()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = run(name, image)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    np.testing.assert_array_equal(run(name, np.asfortranarray(image)), alone)
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(alone, image)


@pytest.mark.parametrize("name", ["mean-3d", "median-3d", "box-3d", "temporal-median", "temporal-mean"])
@pytest.mark.parametrize("value", [0.1, -7e5])
def test_a_constant_stack_stays_constant(name: str, value: float) -> None:
    image = np.full((4, 6, 5), value, dtype=np.float32)
    np.testing.assert_array_equal(run(name, image), image)


@pytest.mark.parametrize("name", ["mean-3d", "median-3d", "box-3d", "temporal-median", "temporal-mean"])
def test_a_pixel_depends_on_nothing_beyond_the_halo(name: str) -> None:
    module = load_filter(name)
    settings = module.Settings()
    image, other = volume((9, 11, 13)), volume((9, 11, 13)) + 1000
    near = tuple(
        slice(middle - far, middle + far + 1) for middle, far in zip((4, 5, 6), module.halo(settings), strict=True)
    )
    other[near] = image[near]
    np.testing.assert_allclose(
        module.apply(other, settings)[4, 5, 6], module.apply(image, settings)[4, 5, 6], rtol=3e-7
    )
