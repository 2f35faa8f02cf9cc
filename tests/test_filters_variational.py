"""Filters that minimise an energy: total variation, Tikhonov, and Wiener deconvolution."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_filter
from skimage.restoration import denoise_tv_chambolle
from skimage.restoration import wiener as skimage_wiener

from quietframe.errors import InputError, OptionError
from quietframe.filters import load_filter
from quietframe.kernels.spectra import even_frequencies, filter_even, gaussian_transfer

FILTERS = ("total_variation", "tikhonov", "wiener_deconvolution")
Array = NDArray[Any]


def run(name: str, image: Array, **options: Any) -> Array:
    module = load_filter(name)
    return module.apply(image, module.Settings(**options))


def noisy(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return (100 + 20 * (np.indices(shape)[-1] // 5 % 2) + 5 * rng.standard_normal(shape)).astype(np.float32)


def differences(length: int) -> Array:
    """Give the matrix of forward differences of a line, nothing across its end."""
    return np.diff(np.eye(length), axis=0)


def along(matrix: Array, axis: int, shape: tuple[int, ...]) -> Array:
    """Give the matrix that applies another along one axis of a flattened image."""
    parts = [matrix if other == axis else np.eye(length) for other, length in enumerate(shape)]
    return reduce(np.kron, parts)


@pytest.mark.parametrize("shape", [(9, 8), (1, 12), (3, 4, 5)])
@pytest.mark.parametrize("weight", [0.0, 0.5, 40.0])
def test_tikhonov_solves_its_normal_equations(rng: np.random.Generator, shape: tuple[int, ...], weight: float) -> None:
    image = noisy(rng, shape)
    gradients = [along(differences(length), axis, shape) for axis, length in enumerate(shape) if length > 1]
    system = np.eye(image.size) + weight * sum(matrix.T @ matrix for matrix in gradients)
    expected = np.linalg.solve(system, image.ravel().astype(np.float64)).reshape(shape)
    result = run("tikhonov", image, weight=weight, dimensions=len(shape))
    assert result == pytest.approx(expected, abs=1e-5)  # float32 around 100: 4e-6


def test_tikhonov_with_deconvolution_solves_its_normal_equations(rng: np.random.Generator) -> None:
    shape, sigma, weight = (14, 12), 1.5, 0.01
    image = noisy(rng, shape)
    # The Gaussian, sampled and mirrored at the edges: for 1.5 px its spectrum is exp(-(sigma w)^2 / 2) to 3e-5.
    lines = [gaussian_filter(np.eye(length), (sigma, 0), mode="reflect", truncate=9) for length in shape]
    blur = np.kron(*lines)
    gradients = [along(differences(length), axis, shape) for axis, length in enumerate(shape)]
    system = blur.T @ blur + weight * sum(matrix.T @ matrix for matrix in gradients)
    expected = np.linalg.solve(system, blur.T @ image.ravel().astype(np.float64)).reshape(shape)
    result = run("tikhonov", image, weight=weight, deconvolution_sigma=sigma)
    assert result == pytest.approx(expected, abs=0.02)


def test_gaussian_transfer_is_scipys_blur(rng: np.random.Generator) -> None:
    image = rng.standard_normal((33, 48))
    blurred = filter_even(image, gaussian_transfer(image.shape, 2.0))
    assert blurred == pytest.approx(gaussian_filter(image, 2.0, mode="reflect", truncate=10), abs=1e-8)
    assert [axis.shape for axis in even_frequencies((3, 5))] == [(3, 1), (1, 5)]


def test_deconvolution_undoes_a_blur_without_noise(rng: np.random.Generator) -> None:
    sharp = gaussian_filter(rng.standard_normal((64, 64)), 2.5, mode="reflect") * 1000 + 100
    blurred = gaussian_filter(sharp, 1.5, mode="reflect", truncate=9)
    result = run("wiener_deconvolution", blurred, psf_sigma=1.5, balance=1e-9)
    assert np.abs(blurred - sharp).max() > 50
    assert result == pytest.approx(sharp, abs=0.5)


@pytest.mark.parametrize("shape", [(24, 20), (21, 33)])
def test_deconvolution_is_scikit_images_on_the_mirrored_image(
    rng: np.random.Generator, shape: tuple[int, int], tmp_path: Any
) -> None:
    image = noisy(rng, shape)
    psf = rng.random((5, 7)) * np.outer(np.hanning(7)[1:-1], np.hanning(9)[1:-1])
    tifffile.imwrite(tmp_path / "psf.tif", psf.astype(np.float32))
    psf = psf.astype(np.float32).astype(np.float64)
    tiled = np.pad(image.astype(np.float64), ((0, shape[0]), (0, shape[1])), mode="symmetric")
    expected = skimage_wiener(tiled, psf / psf.sum(), 0.03, clip=False)[: shape[0], : shape[1]]
    result = run("wiener_deconvolution", image, psf=str(tmp_path / "psf.tif"), balance=0.03)
    assert result == pytest.approx(expected, abs=1e-4)


def test_a_picture_of_the_gaussian_gives_what_its_sigma_gives(rng: np.random.Generator, tmp_path: Any) -> None:
    image = noisy(rng, (40, 40))
    spot = np.zeros((31, 31))
    spot[15, 15] = 1
    tifffile.imwrite(tmp_path / "psf.tif", (500 * gaussian_filter(spot, 2.0, truncate=8)).astype(np.float32))
    pictured = run("wiener_deconvolution", image, psf=str(tmp_path / "psf.tif"), psf_sigma=9.0)
    assert pictured == pytest.approx(run("wiener_deconvolution", image, psf_sigma=2.0), abs=1e-3)


def test_deconvolution_puts_things_where_they_were(rng: np.random.Generator, tmp_path: Any) -> None:
    psf = np.zeros((5, 5), np.float32)
    psf[2, 4] = 1  # everything moves 2 px to the right
    tifffile.imwrite(tmp_path / "psf.tif", psf)
    sharp = np.zeros((32, 32), np.float32)
    sharp[15, 10] = 100
    result = run("wiener_deconvolution", convolve(sharp, psf), psf=str(tmp_path / "psf.tif"), balance=1e-9)
    assert np.unravel_index(result.argmax(), result.shape) == (15, 10)


@pytest.mark.parametrize(
    ("psf", "message"),
    [(np.ones((4, 5)), "odd height"), (np.zeros((3, 3)), "positive sum"), (np.full((3, 3), np.nan), "finite")],
)
def test_bad_pictures_of_the_psf_are_named(psf: Array, message: str, tmp_path: Any) -> None:
    tifffile.imwrite(tmp_path / "psf.tif", psf.astype(np.float32))
    with pytest.raises(InputError, match=message):
        run("wiener_deconvolution", np.zeros((9, 9)), psf=str(tmp_path / "psf.tif"))


def test_total_variation_moves_the_two_sides_of_a_step_by_weight_over_width() -> None:
    # The known solution for two constant pieces: each moves towards the other by weight * sigma / its width.
    image = np.repeat([[10.0] * 12 + [50.0] * 8], 6, axis=0)
    result = run("total_variation", image, weight=3.0, noise_sigma=4.0, iterations=20000, tolerance=0.0)
    expected = np.repeat([[10.0 + 12 / 12] * 12 + [50.0 - 12 / 8] * 8], 6, axis=0)
    assert result == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("shape", [(20, 30), (1, 30), (5, 12, 14)])
def test_total_variation_is_scikit_images_in_units_of_the_noise(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    image = noisy(rng, shape)
    expected = denoise_tv_chambolle((image.astype(np.float64) - 90) / 5, 1.3) * 5 + 90
    result = run("total_variation", image, weight=1.3, noise_sigma=5.0, dimensions=len(shape))
    assert result == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", FILTERS)
def test_result_scales_with_the_unit_and_keeps_the_mean(rng: np.random.Generator, name: str) -> None:
    image = noisy(rng, (24, 31))
    result = run(name, image)
    assert result.mean() == pytest.approx(image.mean(), abs=1e-3)
    for factor in (1e-5, 7.0, 1e5):
        # The iteration of total variation may end one step earlier or later for other digits: its tolerance.
        assert run(name, image * np.float32(factor)) / factor == pytest.approx(result, abs=0.01)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (12, 1), (2, 3)])
def test_small_and_constant_images_work(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> None:
    image = rng.integers(0, 255, shape).astype(np.uint8)
    result = run(name, image)
    assert result.shape == shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    constant = np.full(shape, 7.3, np.float32)
    np.testing.assert_allclose(run(name, constant), constant, rtol=1e-6)


def test_a_constant_with_a_given_noise_stays() -> None:
    constant = np.full((9, 9), 7.3, np.float32)
    np.testing.assert_allclose(run("total_variation", constant, noise_sigma=2.0), constant, rtol=1e-6)


BAD = [
    ("total_variation", {"weight": -1.0}, "weight must be"), ("total_variation", {"weight": np.nan}, "got nan"),
    ("total_variation", {"noise_sigma": np.inf}, "noise_sigma must be"),
    ("total_variation", {"iterations": 0}, "iterations must be"),
    ("total_variation", {"tolerance": -1e-9}, "tolerance must be"),
    ("total_variation", {"dimensions": 1}, "2 .* or 3"), ("tikhonov", {"weight": -1.0}, "weight must be"),
    ("tikhonov", {"weight": 0.0, "deconvolution_sigma": 1.0}, "with deconvolution"),
    ("tikhonov", {"deconvolution_sigma": 1e9}, "from 0 to 1000 px"),
    ("wiener_deconvolution", {"psf_sigma": -1.0}, "psf_sigma must be"),
    ("wiener_deconvolution", {"balance": 0.0}, "balance must be"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_bad_settings_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_filter(name).Settings(**options)
