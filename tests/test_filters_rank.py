"""The rank filters and the plain windows against scipy and brute force; against ImageJ: tests/fiji."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from quietframe.errors import InputError, OptionError
from quietframe.filters import load_filter
from quietframe.kernels import disc_median
from quietframe.kernels.disc import half_widths

# Pixels of ImageJ's discs, as Process > Filters > Show Circular Masks shows them.
POINTS = {0.5: 5, 1.0: 9, 1.5: 13, 2.0: 21, 2.5: 29, 3.0: 37, 4.0: 57}
RADII = (0.5, 1.0, 2.0, 3.3, 8.0)
SHAPES = [(53, 71), (4, 9), (1, 30), (30, 1), (1, 1)]
DISCS = ("median", "mean", "minimum", "maximum", "variance", "top-hat", "remove-outliers", "despeckle")


def footprint(radius: float) -> NDArray[np.bool_]:
    halves = half_widths(radius)
    return np.abs(np.arange(len(halves)) - len(halves) // 2) <= halves[:, None]


def noise(shape: tuple[int, ...], dtype: str = "float32") -> NDArray[Any]:
    rng = np.random.default_rng([*shape, 5])
    return np.abs(rng.normal(120, 60, shape)).clip(0, 255).astype(dtype)


def run(name: str, image: NDArray[Any], **options: Any) -> NDArray[Any]:
    module = load_filter(name)
    result: NDArray[Any] = module.apply(image, module.Settings(**options))
    return result


@pytest.mark.parametrize("radius, points", POINTS.items())
def test_discs_have_as_many_pixels_as_imagej_s(radius: float, points: int) -> None:
    assert footprint(radius).sum() == points


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", RADII)
def test_order_statistics_are_scipy_s(radius: float, shape: tuple[int, int]) -> None:
    image, disc = noise(shape), footprint(radius)
    for name, peer in (
        ("median", ndimage.median_filter),
        ("minimum", ndimage.minimum_filter),
        ("maximum", ndimage.maximum_filter),
    ):
        np.testing.assert_array_equal(run(name, image, radius=radius), peer(image, footprint=disc, mode="nearest"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_medians_of_few_values_many_times_are_scipy_s(dtype: str) -> None:
    image = (noise((60, 61)) // 64).astype(dtype)
    expected = ndimage.median_filter(image, footprint=footprint(3), mode="nearest")
    found = run("median", image, radius=3)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_negative_numbers_and_zeros_are_ordered_like_numbers() -> None:
    image = noise((40, 40)) - 120
    image[::3] = 0.0
    image[1::3, ::2] = -0.0
    image[5, 5], image[6, 6] = np.finfo(np.float32).max, np.finfo(np.float32).min
    expected = ndimage.median_filter(image, footprint=footprint(2), mode="nearest")
    np.testing.assert_array_equal(run("median", image, radius=2), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", RADII)
def test_means_and_variances_are_those_of_the_disc(radius: float, shape: tuple[int, int]) -> None:
    image, disc = noise(shape), footprint(radius)
    weights = disc / disc.sum()
    mean = ndimage.correlate(image.astype(float), weights, mode="nearest")
    variance = ndimage.correlate(image.astype(float) ** 2, weights, mode="nearest") - mean**2
    # One rounding to single precision, half a unit in the last place, and that of the sums of 1e5 in double precision.
    np.testing.assert_allclose(run("mean", image, radius=radius), mean, rtol=1.01 * 2**-24)
    np.testing.assert_allclose(run("variance", image, radius=radius), variance, rtol=1.01 * 2**-24, atol=1e-8)


def test_integers_are_rounded_half_up_and_a_variance_ends_at_the_type_s_end() -> None:
    image = np.zeros((1, 4), dtype=np.uint8)
    image[0, 1:] = (5, 0, 3)
    # Three times the row and two ends: (0, 0, 5), (0, 5, 0), (5, 0, 3), (0, 3, 3) over 3.
    np.testing.assert_array_equal(run("mean", image, radius=1), [[2, 2, 3, 2]])
    edges = np.repeat(np.array([0, 255], dtype=np.uint8), 8)[None].repeat(8, axis=0)
    assert run("variance", edges, radius=2).max() == 255
    # Beside the edge 8 of the 21 pixels of a disc lie on the other side.
    assert run("variance", edges.astype(np.uint16), radius=2).max() == round(255**2 * (8 / 21) * (13 / 21))


@pytest.mark.parametrize("light", [False, True])
def test_a_top_hat_is_the_image_less_its_opening(light: bool) -> None:
    image, disc = noise((40, 37)), footprint(2.0)
    lower, upper = ndimage.minimum_filter, ndimage.maximum_filter
    first, second = (upper, lower) if light else (lower, upper)
    opened = second(first(image, footprint=disc, mode="nearest"), footprint=disc, mode="nearest")
    np.testing.assert_array_equal(run("top-hat", image, light=light, dont_subtract=True), opened)
    np.testing.assert_array_equal(run("top-hat", image, light=light), image - opened)
    small = image.astype(np.uint8)
    white = run("top-hat", small, light=True)
    assert white.max() == 255  # light backgrounds stay at the end of the range
    assert white.dtype == np.uint8


@pytest.mark.parametrize("which", ["bright", "dark"])
@pytest.mark.parametrize("threshold", [0.0, 30.0, 400.0])
def test_only_outliers_become_the_median(which: str, threshold: float) -> None:
    image = noise((50, 43))
    image[10, 10], image[20, 30] = 900, -900
    medians = ndimage.median_filter(image, footprint=footprint(2), mode="nearest")
    above = (image - medians) * (1 if which == "bright" else -1) > threshold
    found = run("remove-outliers", image, radius=2, threshold=threshold, which=which)
    np.testing.assert_array_equal(found, np.where(above, medians, image))
    assert above.any()
    assert not above.all()


def test_despeckle_is_the_median_of_nine() -> None:
    image = noise((31, 40))
    np.testing.assert_array_equal(run("despeckle", image), ndimage.median_filter(image, 3, mode="nearest"))


@pytest.mark.parametrize("name", DISCS)
def test_any_number_of_threads_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise((150, 60)) * np.float32(1.1)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(run(name, image))
    np.testing.assert_array_equal(*results)


def test_medians_do_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise((90, 101))
    whole = run("median", image, radius=4)
    for places, smallest in ((1, 1), (1, 7), (10000, 24)):
        monkeypatch.setattr(disc_median, "_PLACES_PER_POINT", places)
        monkeypatch.setattr(disc_median, "_SMALLEST_TILE", smallest)
        np.testing.assert_array_equal(run("median", image, radius=4), whole)


@pytest.mark.parametrize("name", DISCS)
def test_a_pixel_depends_on_nothing_beyond_the_halo(name: str) -> None:
    module = load_filter(name)
    settings = module.Settings()
    far, _ = module.halo(settings)
    image = noise((41, 41))
    other = noise((41, 41)) + 300
    other[20 - far : 21 + far, 20 - far : 21 + far] = image[20 - far : 21 + far, 20 - far : 21 + far]
    # Sums that run along a row end at the same value only up to double precision's rounding.
    np.testing.assert_allclose(module.apply(other, settings)[20, 20], module.apply(image, settings)[20, 20], rtol=2e-7)


@pytest.mark.parametrize("name", [*DISCS, "box"])
def test_the_input_stays_as_it_is_and_may_lie_anyhow_in_memory(name: str) -> None:
    image = noise((36, 44))
    before = image.copy()
    turned = run(name, np.asfortranarray(image)[::-1])
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(run(name, image), image)
    np.testing.assert_array_equal(turned, run(name, np.ascontiguousarray(image[::-1])))


@pytest.mark.parametrize("name", ["median", "mean", "minimum", "maximum", "remove-outliers", "despeckle", "box"])
@pytest.mark.parametrize("value", [0.1, -3e4, 0.0])
def test_a_constant_image_stays_constant(name: str, value: float) -> None:
    image = np.full((20, 33), value, dtype=np.float32)
    np.testing.assert_array_equal(run(name, image), image)


@pytest.mark.parametrize("size", [1, 3, 7, 101])
def test_a_box_is_the_mean_of_its_square(size: int) -> None:
    image = noise((23, 30), "uint8")
    padded = np.pad(image.astype(float), size // 2, mode="edge")
    expected = np.lib.stride_tricks.sliding_window_view(padded, (size, size)).mean(axis=(2, 3))
    found = run("box", image, size=size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=3e-7)  # two passes, each rounded to single precision


BAD = [
    ("median", {"radius": 0.0}, "radius must be a number from 0.5 to 100 px; got 0.0"),
    ("median", {"radius": -1.0}, "from 0.5 to 100 px; got -1.0"),
    ("median", {"radius": 101.0}, "from 0.5 to 100 px; got 101.0"),
    ("mean", {"radius": float("nan")}, "from 0.5 to 1000 px; got nan"),
    ("maximum", {"radius": float("inf")}, "from 0.5 to 1000 px; got inf"),
    ("remove-outliers", {"threshold": -1.0}, "threshold must be a number from 0"),
    ("remove-outliers", {"which": "brigth"}, "bright"),
    ("box", {"size": 4}, "size must be an odd number of px.*; got 4"),
    ("box", {"size": 0}, "size must be a whole number from 1.*; got 0"),
    ("box-3d", {"size_z": 2}, "size_z must be an odd number"),
    ("mean-3d", {"radius_z": -1.0}, "radius_z must be a number from 0 to 100 px; got -1.0"),
    ("median-3d", {"radius_x": 1e9}, "radius_x must be a number from 0 to 100 px; got 1000000000.0"),
    ("temporal-median", {"window": 4}, "window must be an odd number"),
    ("temporal-mean", {"window": -3}, "window must be a whole number from 1"),
]


@pytest.mark.parametrize("name, options, message", BAD)
def test_options_that_cannot_be_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_filter(name).Settings(**options)


@pytest.mark.parametrize("name", DISCS)
def test_missing_pixels_and_further_axes_are_refused(name: str) -> None:
    image = noise((9, 9))
    with pytest.raises(InputError, match="works on YX; got 3 axes"):
        run(name, image[None])
    image[3, 3] = np.nan
    with pytest.raises(InputError, match="1 of 81 pixels"):
        run(name, image)
