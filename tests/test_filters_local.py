"""Filters that look at a neighbourhood: local Wiener, both sigma filters, non-local means; and the noise estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import wiener as scipy_wiener
from skimage.restoration import estimate_sigma

from quietframe.errors import OptionError
from quietframe.filters import load_filter
from quietframe.kernels.noise_sigma import estimate_noise_sigma

LOCAL = ("wiener", "lee_sigma", "lee_sigma_improved", "non_local_means")
Plane = NDArray[Any]


def run(name: str, image: Plane, **options: Any) -> Plane:
    module = load_filter(name)
    return module.apply(image, module.Settings(**options))


def scene(rng: np.random.Generator, shape: tuple[int, ...], sigma: float = 5.0) -> Plane:
    """Give a few steps and a slope, with white noise."""
    grid = np.indices(shape)
    clean = 100 + 30 * (np.add.reduce(grid // 6) % 3) + 0.5 * grid[-1]
    return (clean + sigma * rng.standard_normal(shape)).astype(np.float32)


def windows(image: Plane, size: int, beyond: float | None = None) -> Plane:
    """Give the window around every pixel in float64, edges repeated or filled: (Y, X, size * size)."""
    image = image.astype(np.float64)
    if beyond is None:
        padded = np.pad(image, size // 2, mode="edge")
    else:
        padded = np.pad(image, size // 2, constant_values=beyond)
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).reshape(*image.shape, -1)


@pytest.mark.parametrize("shape", [(40, 50), (1, 60), (60, 1), (3, 3)])
def test_noise_estimate_is_scikit_images_where_that_has_one(rng: np.random.Generator, shape: tuple[int, int]) -> None:
    image = 7 * rng.standard_normal(shape) + 1000
    estimate = estimate_noise_sigma(image)
    if min(shape) > 4:
        assert estimate == pytest.approx(estimate_sigma(image), rel=1e-9)
    # 60 px give 30 coefficients, whose median absolute value scatters by 21 %; 9 px only say the order of magnitude.
    assert estimate == pytest.approx(7, rel=0.6 if min(shape) == 1 else 0.9 if shape == (3, 3) else 0.15)


def test_noise_estimate_of_what_has_no_noise_is_zero() -> None:
    assert estimate_noise_sigma(np.full((20, 20), 0.1, np.float32)) == 0
    assert estimate_noise_sigma(np.array([[3.0]])) == 0
    assert estimate_noise_sigma(np.full((3, 20, 20), 65535, np.uint16)) == 0


def test_noise_estimate_of_a_stack_is_the_median_over_planes(rng: np.random.Generator) -> None:
    stack = rng.standard_normal((3, 64, 64)) * np.array([1.0, 5.0, 20.0])[:, None, None]
    assert estimate_noise_sigma(stack) == pytest.approx(estimate_noise_sigma(stack[1]))


@pytest.mark.parametrize("size", [3, 5, 31])
@pytest.mark.parametrize("shape", [(17, 23), (1, 9), (2, 2)])
def test_wiener_is_lees_formula_with_repeated_edges(
    rng: np.random.Generator, size: int, shape: tuple[int, int]
) -> None:
    image = scene(rng, shape)
    around = windows(image, size)
    mean, variance = around.mean(axis=-1), around.var(axis=-1)
    weight = np.where(variance > 25, (variance - 25) / np.maximum(variance, 25), 0)
    # float32 results around 100 to 200: half a unit in the last place is 8e-6.
    assert run("wiener", image, size=size, noise_sigma=5.0) == pytest.approx(mean + weight * (image - mean), abs=2e-5)


def test_wiener_is_scipys_away_from_the_edges(rng: np.random.Generator) -> None:
    image = scene(rng, (30, 40))
    expected = scipy_wiener(image.astype(np.float64), 5, noise=25.0)
    assert run("wiener", image, noise_sigma=5.0)[2:-2, 2:-2] == pytest.approx(expected[2:-2, 2:-2], abs=2e-5)


def test_wiener_keeps_its_digits_on_a_large_offset(rng: np.random.Generator) -> None:
    image = np.round(10 * rng.standard_normal((40, 40)))
    raised = run("wiener", (image + 1e6).astype(np.float32), noise_sigma=8.0)
    assert raised - 1e6 == pytest.approx(run("wiener", image, noise_sigma=8.0), abs=0.07)  # float32 steps there: 0.0625


@pytest.mark.parametrize(("size", "reach", "enough"), [(3, 2.0, 3), (7, 2.0, 4), (7, 1.0, 1), (25, 3.0, 40)])
@pytest.mark.parametrize("shape", [(15, 21), (1, 9)])
def test_lee_sigma_averages_the_neighbours_within_range(
    rng: np.random.Generator, size: int, reach: float, enough: int, shape: tuple[int, int]
) -> None:
    image = scene(rng, shape)
    image[0, 4] = 1000  # a spot
    around = windows(image, size, beyond=-1e6)
    chosen = np.abs(around - image[..., None].astype(np.float64)) <= reach * 5.0
    count = chosen.sum(axis=-1)
    cross = np.nanmean(windows(image, 3, beyond=np.nan)[..., [1, 3, 5, 7]], axis=-1)
    expected = np.where(count < enough, cross, (around * chosen).sum(axis=-1) / count)
    result = run("lee_sigma", image, size=size, range=reach, enough=enough, noise_sigma=5.0)
    assert result == pytest.approx(expected, abs=1e-4)  # float32 near 1000: 3e-5
    if enough > 1:
        assert result[0, 4] < 500


# The table of Lee et al. 2009 for intensities: looks, xi, I1, I2, standard deviation inside.
PUBLISHED = [
    (1, 0.5, 0.436, 1.920, 0.4057), (1, 0.9, 0.084, 3.941, 0.8191), (2, 0.8, 0.327, 2.260, 0.4810),
    (3, 0.9, 0.313, 2.320, 0.4624), (4, 0.5, 0.694, 1.385, 0.1921), (4, 0.9, 0.378, 2.094, 0.3991),
]  # fmt: skip


@pytest.mark.parametrize(("looks", "xi", "low", "high", "deviation"), PUBLISHED)
def test_sigma_range_is_the_published_one(looks: float, xi: float, low: float, high: float, deviation: float) -> None:
    solved = load_filter("lee_sigma_improved").sigma_range(looks, xi)
    # The table was integrated numerically: its own ranges hold xi to about 0.001.
    assert solved == pytest.approx((low, high, deviation), abs=0.01)


@pytest.mark.parametrize(("looks", "xi"), [(0.5, 0.3), (1, 0.9), (7.5, 0.6), (300.0, 0.95)])
def test_sigma_range_holds_its_share_of_speckle_with_mean_one(
    rng: np.random.Generator, looks: float, xi: float
) -> None:
    low, high, deviation = load_filter("lee_sigma_improved").sigma_range(looks, xi)
    speckle = rng.gamma(looks, 1 / looks, 1_000_000)
    inside = speckle[(speckle >= low) & (speckle <= high)]
    # Five standard errors of a million draws.
    assert len(inside) / 1e6 == pytest.approx(xi, abs=2.5e-3)
    assert inside.mean() == pytest.approx(1, abs=5 * inside.std() / 500)
    assert inside.std() == pytest.approx(deviation, rel=0.02)


def improved_by_hand(image: Plane, settings: Any, sigma_range: tuple[float, float, float]) -> Plane:
    def estimate(pixel: float, values: Plane, speckle: float) -> float:
        mean, variance = values.mean(), values.var()
        signal = max((variance - mean**2 * speckle) / (1 + speckle), 0)
        return mean if variance < 1e-9 else mean + signal / variance * (pixel - mean)

    image = image.astype(np.float64)
    near, far = windows(image, 3, beyond=np.nan), windows(image, settings.size, beyond=np.nan)
    bright = image >= np.percentile(image, 98)
    padded = np.pad(bright, 1)
    kept = np.zeros(image.shape, bool)
    for y, x in np.argwhere(bright):
        block = padded[y : y + 3, x : x + 3]
        if 0 < settings.target_count <= block.sum():
            for dy, dx in np.argwhere(block) - 1:
                kept[y + dy, x + dx] = True
    out = image.copy()
    for y, x in np.argwhere(~kept):
        mean = estimate(image[y, x], near[y, x][~np.isnan(near[y, x])], 1 / settings.looks)
        chosen = far[y, x][(far[y, x] >= sigma_range[0] * mean) & (far[y, x] <= sigma_range[1] * mean)]
        if len(chosen):
            out[y, x] = estimate(image[y, x], chosen, sigma_range[2] ** 2)
    return out


@pytest.mark.parametrize("options", [{}, {"looks": 4.0, "size": 5, "xi": 0.7}, {"target_count": 0, "size": 21}])
def test_improved_sigma_filter_follows_the_three_steps(rng: np.random.Generator, options: dict[str, Any]) -> None:
    module = load_filter("lee_sigma_improved")
    settings = module.Settings(**options)
    image = (100 * rng.gamma(settings.looks, 1 / settings.looks, (24, 31))).astype(np.float32)
    image[10:13, 20:23] = 5000
    expected = improved_by_hand(image, settings, module.sigma_range(settings.looks, settings.xi))
    result = module.apply(image, settings)
    assert result == pytest.approx(expected, rel=1e-5)
    if settings.target_count:
        assert (result[10:13, 20:23] == 5000).all()


@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_improved_sigma_filter_does_not_darken_and_smooths(rng: np.random.Generator, looks: float) -> None:
    image = 100 * rng.gamma(looks, 1 / looks, (256, 256))
    result = run("lee_sigma_improved", image, looks=looks, target_count=0)
    # The mean over 65,536 px of one-look speckle is known to 0.4 %; the filter itself keeps within 2.5 %.
    assert result.mean() == pytest.approx(image.mean(), rel=0.025)
    assert result.std() < 0.35 * image.std()


def likeness_means(image: Plane, patch: int, distance: int, h: float, sigma: float) -> Plane:
    """Compute non-local means by the definition, pixel by pixel."""
    padded = np.pad(image, patch // 2, mode="reflect")
    out = np.zeros_like(image)
    patches = {at: padded[tuple(slice(k, k + patch) for k in at)] for at in np.ndindex(image.shape)}
    for here, mine in patches.items():
        weights = total = 0.0
        for there, other in patches.items():
            if max(abs(a - b) for a, b in zip(here, there, strict=True)) <= distance:
                excess = max(((mine - other) ** 2).mean() / sigma**2 - 2, 0)
                weights += np.exp(-excess / h**2)
                total += np.exp(-excess / h**2) * image[there]
        out[here] = total / weights
    return out


@pytest.mark.parametrize(
    ("shape", "patch", "distance", "h"),
    [((12, 17), 3, 2, 0.8), ((9, 13), 5, 20, 0.5), ((1, 8), 5, 3, 0.8), ((7, 7), 1, 3, 1.0), ((4, 5, 6), 3, 2, 0.8)],
)
def test_non_local_means_is_its_definition(
    rng: np.random.Generator, shape: tuple[int, ...], patch: int, distance: int, h: float
) -> None:
    image = scene(rng, shape)
    options = {"patch": patch, "distance": distance, "h": h, "noise_sigma": 5.0, "dimensions": len(shape)}
    result = run("non_local_means", image, **options)
    # Single precision, and weights below 1e-7 that are left out: 1e-4 of the noise.
    assert result == pytest.approx(likeness_means(image.astype(np.float64), patch, distance, h, 5.0), abs=5e-4)


def test_non_local_means_removes_noise_from_what_repeats(rng: np.random.Generator) -> None:
    y, x = np.mgrid[:64, :64]
    clean = 100.0 + 40 * ((x + y) % 8 < 4)
    noisy = clean + 10 * rng.standard_normal(clean.shape)
    result = run("non_local_means", noisy, noise_sigma=10.0, patch=5)
    # The 289 px of the search hold 36 of each phase of the stripes: at best 10 / 6 remains.
    assert np.sqrt(np.mean((result - clean) ** 2)) < 3


@pytest.mark.parametrize("name", LOCAL)
def test_result_scales_with_the_unit(rng: np.random.Generator, name: str) -> None:
    image = scene(rng, (24, 30))
    result = run(name, image)
    for factor in (1e-5, 7.0, 1e5):
        # Rounding of the scaled float32 pixels: 6e-8 of values up to 200 px units; weights of patches amplify that.
        assert run(name, image * np.float32(factor)) / factor == pytest.approx(result, abs=2e-3)


@pytest.mark.parametrize("name", LOCAL)
def test_halo_is_enough_and_threads_do_not_matter(
    rng: np.random.Generator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_filter(name)
    noise = {"target_count": 0} if name == "lee_sigma_improved" else {"noise_sigma": 5.0}
    settings = module.Settings(**noise)
    image = scene(rng, (70, 80))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole = module.apply(image, settings)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    np.testing.assert_array_equal(module.apply(image, settings), whole)
    y, x = module.halo(settings)
    part = module.apply(image[25 - y : 45 + y, 30 - x : 50 + x], settings)[y : y + 20, x : x + 20]
    # Centring on another mean changes the last digits.
    assert part == pytest.approx(whole[25:45, 30:50], abs=1e-3 if name == "non_local_means" else 2e-5)


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (12, 1), (2, 3)])
def test_small_and_constant_images_work(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> None:
    image = rng.integers(0, 255, shape).astype(np.uint8)
    result = run(name, image)
    assert result.shape == shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    constant = np.full(shape, 7.3, np.float32)
    np.testing.assert_allclose(run(name, constant), constant, rtol=1e-6)


BAD = [
    ("wiener", {"size": 4}, "odd"), ("wiener", {"size": 1}, "from 3 to 1001"), ("wiener", {"size": 5.0}, "got 5.0"),
    ("wiener", {"noise_sigma": -1.0}, "noise_sigma must be"), ("wiener", {"noise_sigma": np.nan}, "got nan"),
    ("lee_sigma", {"range": -2.0}, "range must be"), ("lee_sigma", {"enough": 0}, "from 1 to 49"),
    ("lee_sigma", {"size": 10**6}, "got 1000000"), ("lee_sigma_improved", {"looks": 0.0}, "looks must be"),
    ("lee_sigma_improved", {"xi": 1.0}, "from 0.01 to 0.99"),
    ("lee_sigma_improved", {"target_count": 10}, "from 0 to 9"),
    ("non_local_means", {"h": 0.0}, "h must be"), ("non_local_means", {"h": np.inf}, "got inf"),
    ("non_local_means", {"patch": 2}, "odd"), ("non_local_means", {"distance": 0}, "from 1 to 200 px"),
    ("non_local_means", {"dimensions": 4}, "2 .* or 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_bad_settings_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_filter(name).Settings(**options)
