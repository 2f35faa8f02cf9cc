"""Subtract Background against a plain opening, convex hulls and scikit-image; that its pixels are ImageJ's own is
tested in tests/fiji/test_filters_background_imagej.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, grey_dilation, grey_erosion, uniform_filter

from quietframe.errors import InputError, OptionError
from quietframe.filters.subtract_background import Settings, apply, halo

SHAPES = [(40, 53), (1, 60), (60, 1), (3, 4), (1, 1), (17, 90)]


def spots(shape: tuple[int, int], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """An image of round spots on a smooth background, and the spots alone."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    objects = np.zeros(shape)
    for top, left in rng.uniform(0.15, 0.85, (8, 2)) * shape:
        objects += 100 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 8)
    background = 50 + 20 * np.sin(x / 60) + 15 * np.cos(y / 45)
    return (background + objects).astype(np.float32), objects


def opened(image: NDArray[Any], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The opening by a surface, in double precision, its centre allowed outside the image."""
    half = len(heights) // 2
    padded = np.pad(image.astype(np.float64), 2 * half, constant_values=1e9)
    lifted = grey_erosion(padded, structure=heights, mode="constant", cval=1e9)
    covered: NDArray[np.float64] = grey_dilation(lifted, structure=heights, mode="constant", cval=-1e9)
    inside = slice(2 * half, -2 * half) if half else slice(None)
    return covered[inside, inside]


def ball(radius: float) -> NDArray[np.float64]:
    """The middle of a ball's top; 24 % of the radius is cut off at each side."""
    half = int(np.floor(radius - int(24 * radius) // 100 + 0.5))
    offset = np.arange(-half, half + 1)
    heights: NDArray[np.float64] = np.sqrt(np.maximum(radius**2 - offset**2 - offset[:, None] ** 2, 0))
    return heights


@pytest.mark.parametrize("radius", [1.0, 3.0, 6.5, 10.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_small_ball_is_the_opening_by_its_top(
    radius: float, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    image = rng.uniform(0, 30, shape).astype(np.float32)
    found = apply(image, Settings(rolling=radius, create=True, disable=True))
    np.testing.assert_allclose(found, opened(image, ball(radius)), atol=1e-5)  # values up to 40 in single precision
    smooth = apply(image, Settings(rolling=radius, create=True))
    mean = uniform_filter(image.astype(np.float64), 3, mode="nearest")
    np.testing.assert_allclose(smooth, opened(mean, ball(radius)), atol=1e-5)


def test_the_background_resembles_that_of_scikit_image(rng: np.random.Generator) -> None:
    from skimage.restoration import rolling_ball

    image, _ = spots((90, 110), rng)
    found = apply(image, Settings(rolling=10, create=True, disable=True))
    # scikit-image rolls the whole ball instead of its middle and keeps the centre inside the image: it sinks deeper on
    # slopes (spots) and at edges.
    difference = np.abs(found - rolling_ball(image, radius=10))
    assert np.median(difference) < 1  # of a background that varies by 70
    assert np.quantile(difference, 0.95) < 3


@pytest.mark.parametrize("radius", [2.0, 10.0, 50.0])
@pytest.mark.parametrize("turned", [False, True])
def test_a_parabola_under_one_line_leaves_the_convex_hull(
    radius: float, turned: bool, rng: np.random.Generator
) -> None:
    values = rng.normal(0, 3, 80) + np.linspace(0, 20, 80)
    places = np.arange(80)
    # Parabolas of one curvature become straight lines when that curvature is added: their hull is the convex one.
    bent = values + places**2 / (2 * radius)
    hull: list[int] = []
    for i in places:
        while len(hull) > 1 and (bent[hull[-1]] - bent[hull[-2]]) * (i - hull[-2]) >= (bent[i] - bent[hull[-2]]) * (
            hull[-1] - hull[-2]
        ):
            hull.pop()
        hull.append(int(i))
    expected = np.interp(places, hull, bent[hull]) - places**2 / (2 * radius)
    line = values.astype(np.float32)[:, np.newaxis] if turned else values.astype(np.float32)[np.newaxis]
    found = apply(line, Settings(rolling=radius, sliding=True, create=True, disable=True))
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-4)  # squares up to 3200 in single precision


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("rolling", [8.0, 12.0, 25.0])
def test_spots_stay_and_the_slow_background_goes(sliding: bool, rolling: float, rng: np.random.Generator) -> None:
    image, objects = spots((150, 170), rng)
    found = apply(image, Settings(rolling=rolling, sliding=sliding))
    away = gaussian_filter(objects, 4) < 0.5
    assert np.abs(found[away]).mean() < 2  # of a background that varies by 70
    peak = np.unravel_index(objects.argmax(), objects.shape)
    assert found[peak] == pytest.approx(objects[peak], rel=0.15)


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("light", [False, True])
def test_without_smoothing_the_background_is_never_beyond_the_image(
    sliding: bool, light: bool, rng: np.random.Generator
) -> None:
    image = rng.normal(0, 20, (41, 60)).astype(np.float32)
    found = apply(image, Settings(rolling=6, sliding=sliding, light=light, disable=True))
    assert ((-found if light else found) >= -1e-4).all()


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("rolling", [0.001, 5.0, 20.0, 50.0, 400.0])
def test_a_constant_image_is_all_background(sliding: bool, rolling: float) -> None:
    for shape in SHAPES:
        for light in (False, True):
            settings = Settings(rolling=rolling, sliding=sliding, light=light)
            for value, dtype in ((7, np.uint8), (60000, np.uint16)):
                white = np.iinfo(dtype).max if light else 0
                np.testing.assert_array_equal(apply(np.full(shape, value, dtype), settings), white)
            result = apply(np.full(shape, -3.5, np.float32), settings)
            # Adding and subtracting the ball's height, at most 50 here, rounds to single precision.
            np.testing.assert_allclose(result, 0, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 60), (60, 3), (2, 2), (1, 1)])
@pytest.mark.parametrize("rolling", [50.0, 300.0, 2000.0])
def test_where_imagej_fails_the_background_is_the_least_value(
    shape: tuple[int, int], rolling: float, rng: np.random.Generator
) -> None:
    image = rng.uniform(10, 20, shape).astype(np.float32)
    found = apply(image, Settings(rolling=rolling, create=True, disable=True))
    assert found.shape == shape
    assert (found >= image.min() - 1e-3).all()
    assert (found <= image.max() + 1e-3).all()  # adding and subtracting the ball's height rounds


@pytest.mark.parametrize("sliding", [False, True])
def test_a_light_background_is_the_same_upside_down(sliding: bool, rng: np.random.Generator) -> None:
    image, _ = spots((50, 47), rng)
    dark = apply(image, Settings(rolling=12, sliding=sliding))
    np.testing.assert_array_equal(apply(-image, Settings(rolling=12, sliding=sliding, light=True)), -dark)


@pytest.mark.parametrize("sliding", [False, True])
def test_the_number_of_threads_changes_no_pixel(
    sliding: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = spots((200, 190), rng)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(apply(image, Settings(rolling=15, sliding=sliding)))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_tile_with_its_halo_has_the_pixels_of_the_whole(rng: np.random.Generator) -> None:
    image, _ = spots((120, 110), rng)
    settings = Settings(rolling=6)
    far = halo(settings)
    assert far is not None
    whole = apply(image, settings)
    tile = apply(image[50 - far[0] : 70 + far[0], 40 - far[1] : 60 + far[1]], settings)
    np.testing.assert_array_equal(tile[far[0] : far[0] + 20, far[1] : far[1] + 20], whole[50:70, 40:60])
    assert halo(Settings(rolling=11)) is None
    assert halo(Settings(rolling=5, sliding=True)) is None


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("disable", [False, True])
def test_the_input_is_left_alone_and_may_be_a_view(
    sliding: bool, light: bool, disable: bool, rng: np.random.Generator
) -> None:
    image = rng.uniform(0, 50, (60, 40)).astype(np.float32)
    settings = Settings(rolling=5, sliding=sliding, light=light, disable=disable)
    before = image.copy()
    whole = apply(image, settings)
    view = image[::2, ::-1].T
    found = apply(view, settings)
    np.testing.assert_array_equal(found, apply(np.ascontiguousarray(view), settings))
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(whole, image)


@pytest.mark.parametrize("rolling", [0.0, -5.0, float("nan"), float("inf"), 2001.0])
def test_radii_out_of_range_are_refused(rolling: float) -> None:
    with pytest.raises(OptionError, match=f"rolling must be .*got {rolling}"):
        Settings(rolling=rolling)


def test_values_at_the_end_of_single_precision_end_the_search() -> None:
    image = np.zeros((20, 21), dtype=np.float32)
    image[::2], image[:, ::3] = 3.4e38, -3.4e38
    for sliding in (False, True):
        with np.errstate(over="ignore", invalid="ignore"):
            assert apply(image, Settings(rolling=5, sliding=sliding, disable=True)).shape == image.shape


@pytest.mark.parametrize("image", [np.zeros((3, 4, 5)), np.zeros((0, 4)), np.full((3, 3), np.inf)])
def test_images_it_cannot_use_are_refused(image: NDArray[Any]) -> None:
    with pytest.raises(InputError):
        apply(image, Settings())
