"""Bilateral filter and Perona-Malik diffusion against brute force in double precision, closed forms, scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from quietframe.errors import InputError, OptionError
from quietframe.filters import anisotropic_diffusion, bilateral

SHAPES = [(37, 50), (1, 40), (40, 1), (3, 2), (1, 1)]
BOTH = [(bilateral, "sigma_range"), (anisotropic_diffusion, "kappa")]


def weighted(image: NDArray[Any], half: int, sigma_space: float, sigma_range: float) -> NDArray[np.float64]:
    padded = np.pad(image.astype(np.float64), half, mode="edge")
    height, width = image.shape
    total, weights = np.zeros(image.shape), np.zeros(image.shape)
    for v in range(2 * half + 1):
        for u in range(2 * half + 1):
            other = padded[v : v + height, u : u + width]
            distance = ((v - half) ** 2 + (u - half) ** 2) / sigma_space**2
            weight = np.exp(-0.5 * (distance + (other - image) ** 2 / sigma_range**2))
            total += weight * other
            weights += weight
    result: NDArray[np.float64] = total / weights
    return result


def diffused(image: NDArray[Any], kappa: float, steps: int, time_step: float, rational: bool) -> NDArray[np.float64]:
    values = image.astype(np.float64)
    for _ in range(steps):
        flow = np.zeros(values.shape)
        for axis in (0, 1):
            difference = np.diff(values, axis=axis)
            scaled = (difference / kappa) ** 2
            carried = difference * (1 / (1 + scaled) if rational else np.exp(-scaled))
            pad = [(0, 0), (0, 0)]
            for side, sign in (((0, 1), 1), ((1, 0), -1)):  # what one pixel gets its neighbour loses
                pad[axis] = side
                flow += sign * np.pad(carried, pad)
        values = values + time_step * flow
    return values


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma_space, sigma_range, window", [(1.0, 20.0, None), (2.0, 8.0, 7), (3.0, 200.0, None)])
def test_the_bilateral_filter_is_its_formula(
    shape: tuple[int, int], sigma_space: float, sigma_range: float, window: int | None, rng: np.random.Generator
) -> None:
    image = rng.uniform(0, 100, shape).astype(np.float32)
    settings = bilateral.Settings(sigma_space=sigma_space, sigma_range=sigma_range, window=window)
    half = 3 if window else bilateral.halo(settings)[0]
    # Up to 289 single-precision terms: 1e-6 of the range.
    np.testing.assert_allclose(
        bilateral.apply(image, settings), weighted(image, half, sigma_space, sigma_range), atol=1e-4
    )


def test_the_bilateral_filter_is_that_of_scikit_image_where_distance_does_not_matter(rng: np.random.Generator) -> None:
    from skimage.restoration import denoise_bilateral

    image = rng.uniform(0, 100, (40, 45)).astype(np.float32)
    found = bilateral.apply(image, bilateral.Settings(sigma_space=1000, sigma_range=15, window=7))
    # Its table of weights has 1e5 steps over the range; at most 40 % of the range is averaged with each.
    expected = denoise_bilateral(image, win_size=7, sigma_color=15, sigma_spatial=1000, mode="edge", bins=100_000)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_a_very_wide_bilateral_filter_is_a_gaussian_blur(rng: np.random.Generator) -> None:
    image = rng.uniform(0, 1, (50, 60)).astype(np.float32)
    found = bilateral.apply(image, bilateral.Settings(sigma_space=2, sigma_range=1e6))
    np.testing.assert_allclose(found, gaussian_filter(image.astype(float), 2, mode="nearest", radius=5), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("conductance", ["exponential", "rational"])
@pytest.mark.parametrize("kappa, steps, time_step", [(10.0, 25, 0.2), (40.0, 7, 0.25), (300.0, 40, 0.05)])
def test_diffusion_is_perona_s_and_malik_s(
    shape: tuple[int, int], conductance: Any, kappa: float, steps: int, time_step: float, rng: np.random.Generator
) -> None:
    image = rng.uniform(0, 100, shape).astype(np.float32)
    settings = anisotropic_diffusion.Settings(kappa=kappa, steps=steps, time_step=time_step, conductance=conductance)
    expected = diffused(image, kappa, steps, time_step, conductance == "rational")
    # Where differences are near kappa, errors of single precision (4e-6 here) grow by a factor of at most
    # 1 + 8 x 0.25 x 0.45 per step (the flow falls with a slope of up to 0.45 there), but only while it is steep.
    np.testing.assert_allclose(anisotropic_diffusion.apply(image, settings), expected, atol=2e-3)


def test_without_edges_a_point_spreads_by_twice_the_time() -> None:
    image = np.zeros((81, 81), dtype=np.float32)
    image[40, 40] = 100
    found = anisotropic_diffusion.apply(image, anisotropic_diffusion.Settings(kappa=1e9, steps=60, time_step=0.2))
    place = np.arange(81) - 40.0
    for axis in (0, 1):
        profile = found.sum(axis=axis, dtype=np.float64)
        assert (profile * place**2).sum() / profile.sum() == pytest.approx(2 * 60 * 0.2, rel=1e-5)


@pytest.mark.parametrize("conductance", ["exponential", "rational"])
@pytest.mark.parametrize("strength", [0.5, 2.0, 50.0])
def test_diffusion_keeps_the_mean_and_makes_no_new_extremes(
    conductance: Any, strength: float, rng: np.random.Generator
) -> None:
    image = (100 + rng.normal(0, 10, (64, 70))).astype(np.float32)
    image[20:40, 30:] += 200
    settings = anisotropic_diffusion.Settings(strength=strength, steps=200, time_step=0.25, conductance=conductance)
    found = anisotropic_diffusion.apply(image, settings)
    # 200 times half a unit in the last place (values below 512), were they all in one direction: 200 x 1.5e-5.
    assert found.mean(dtype=np.float64) == pytest.approx(image.mean(dtype=np.float64), abs=3e-3)
    assert found.min() >= image.min() - 1e-4
    assert found.max() <= image.max() + 1e-4


@pytest.mark.parametrize("module", [bilateral, anisotropic_diffusion])
def test_noise_goes_and_an_edge_stays(module: Any, rng: np.random.Generator) -> None:
    clean = np.where(np.arange(80) < 40, 50.0, 200.0) * np.ones((60, 1))
    noisy = (clean + rng.normal(0, 10, clean.shape)).astype(np.float32)
    found = module.apply(noisy, module.Settings())
    assert found.dtype == np.float32
    inside = (slice(5, -5), slice(5, 32))
    assert found[inside].std() < 0.35 * noisy[inside].std()
    assert np.abs(found[:, 39].mean() - 50) < 4  # the pixels beside the edge, 150 high
    assert np.abs(found[:, 40].mean() - 200) < 4
    given = module.apply(noisy, module.Settings(noise_sigma=10.0))
    np.testing.assert_allclose(given.std(), found.std(), rtol=0.01)  # the estimate is right to some per cent


@pytest.mark.parametrize("module, width", BOTH)
def test_constant_images_and_noise_of_zero_change_nothing(module: Any, width: str, rng: np.random.Generator) -> None:
    for shape in SHAPES:
        for value in (0, -3.7, 1e20):
            image = np.full(shape, value, dtype=np.float32)
            for settings in (module.Settings(), module.Settings(**{width: 1e-40}), module.Settings(**{width: 5.0})):
                np.testing.assert_array_equal(module.apply(image, settings), image)
    noise = rng.normal(0, 1, (20, 30)).astype(np.float32)
    for settings in (module.Settings(noise_sigma=0.0), module.Settings(**{width: 0.0}), module.Settings(strength=0.0)):
        result = module.apply(noise, settings)
        np.testing.assert_array_equal(result, noise)
        assert not np.shares_memory(result, noise)


@pytest.mark.parametrize("module, width", BOTH)
def test_a_tile_with_its_halo_has_the_pixels_of_the_whole(module: Any, width: str, rng: np.random.Generator) -> None:
    image = rng.uniform(0, 100, (110, 120)).astype(np.float32)
    settings = module.Settings(**{width: 30.0})
    far = module.halo(settings)[0]
    tile = module.apply(image[40 - far : 60 + far, 50 - far : 70 + far], settings)
    np.testing.assert_array_equal(tile[far : far + 20, far : far + 20], module.apply(image, settings)[40:60, 50:70])


@pytest.mark.parametrize("module", [bilateral, anisotropic_diffusion])
def test_the_number_of_threads_changes_no_pixel(
    module: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = rng.uniform(0, 100, (130, 60)).astype(np.float32)[:, ::-2]
    before = image.copy()
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(module.apply(image, module.Settings()))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "bool", "float64"])
@pytest.mark.parametrize("module", [bilateral, anisotropic_diffusion])
def test_all_pixel_types_become_float32(module: Any, dtype: str, rng: np.random.Generator) -> None:
    image = rng.integers(0, 2, (12, 13)).astype(dtype)
    assert module.apply(image, module.Settings()).dtype == np.float32


@pytest.mark.parametrize(
    "module, options, message",
    [
        (bilateral, {"sigma_space": 0}, "sigma_space must be .* got 0"),
        (bilateral, {"sigma_space": float("nan")}, "sigma_space must be .* got nan"),
        (bilateral, {"sigma_space": 51}, "sigma_space must be .* 50 px; got 51"),
        (bilateral, {"sigma_range": -1}, "sigma_range must be .* got -1"),
        (bilateral, {"strength": float("inf")}, "strength must be .* got inf"),
        (bilateral, {"window": 4}, "window must be an odd number"),
        (bilateral, {"window": 0}, "window must be .* got 0"),
        (bilateral, {"noise_sigma": -2}, "noise_sigma must be .* got -2"),
        (anisotropic_diffusion, {"steps": -1}, "steps must be .* got -1"),
        (anisotropic_diffusion, {"steps": 2.5}, "steps must be a whole number"),
        (anisotropic_diffusion, {"time_step": 0.26}, "time_step must be .* 0.25; got 0.26"),
        (anisotropic_diffusion, {"time_step": 0.0}, "time_step must be .* got 0"),
        (anisotropic_diffusion, {"kappa": float("nan")}, "kappa must be .* got nan"),
        (anisotropic_diffusion, {"conductance": "exponental"}, "did you mean exponential"),
        (anisotropic_diffusion, {"strength": -1}, "strength must be .* got -1"),
    ],
)
def test_options_out_of_range_are_refused(module: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        module.Settings(**options)


@pytest.mark.parametrize("image", [np.zeros((3, 4, 5)), np.zeros((0, 4)), np.full((3, 3), np.nan)])
@pytest.mark.parametrize("module", [bilateral, anisotropic_diffusion])
def test_images_they_cannot_use_are_refused(module: Any, image: NDArray[Any]) -> None:
    with pytest.raises(InputError):
        module.apply(image, module.Settings())
