"""BLS-GSM: its estimator against numerical integration, its covariances against simulation, the whole against peers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data, metrics, restoration

from quietframe.errors import OptionError
from quietframe.filters.bls_gsm import Settings, apply
from quietframe.kernels.scale_mixture import SCALES, estimate_rows, make_mixture

Generator = np.random.Generator


@pytest.fixture(scope="module")
def camera() -> NDArray[np.float32]:
    return data.camera()[100:292, 120:312].astype(np.float32)


@pytest.fixture(scope="module")
def noisy(camera: NDArray[np.float32]) -> NDArray[np.float32]:
    return camera + np.random.default_rng(3).normal(0, 25, camera.shape).astype(np.float32)


def psnr(truth: NDArray[Any], image: NDArray[Any]) -> float:
    return float(metrics.peak_signal_noise_ratio(truth.astype(np.float64), image.astype(np.float64), data_range=255))


def test_the_estimate_is_the_posterior_mean_over_all_scales(rng: Generator) -> None:
    half, other = rng.normal(size=(2, 4, 4))
    noise, signal = half @ half.T + 0.1 * np.eye(4), other @ other.T
    planes = rng.normal(0, 2, (2, 6, 7))
    places = np.array([[0, 0, 0], [0, 1, 0], [0, 0, -2], [1, 0, 0]])
    out = np.empty((6, 7))
    estimate_rows(planes, places, make_mixture(signal + noise, noise), out, 0, 6)
    for y, x in ((0, 0), (3, 4), (5, 1)):
        near = np.array([planes[p, (y + dy) % 6, (x + dx) % 7] for p, dy, dx in places])
        weights, means = [], []
        for scale in SCALES:  # straight from equations 8 and 12 of the paper
            whole = scale * signal + noise
            weights.append(np.exp(-0.5 * near @ np.linalg.solve(whole, near)) / np.linalg.det(whole) ** 0.5)
            means.append((scale * signal @ np.linalg.solve(whole, near))[0])
        assert out[y, x] == pytest.approx(np.average(means, weights=weights), rel=1e-6)


def test_it_is_better_than_shrinking_coefficients_one_by_one(
    camera: NDArray[np.float32], noisy: NDArray[np.float32]
) -> None:
    single = restoration.denoise_wavelet(noisy / 255, sigma=25 / 255, wavelet="sym8", method="BayesShrink") * 255
    ours = psnr(camera, apply(noisy, Settings(noise_sigma=25.0)))
    assert ours > psnr(camera, single) + 1.0
    assert psnr(camera, apply(noisy, Settings())) > ours - 0.3


def test_white_noise_alone_is_almost_gone(rng: Generator) -> None:
    noise = rng.normal(0, 3, (128, 128)).astype(np.float32)
    # The coarsest approximation stays: 1 in 4^5 of the power; of the details next to nothing.
    assert apply(noise, Settings(noise_sigma=3.0)).std() < 0.2 * 3


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym8", "coif2"])
def test_strong_signal_comes_through(wavelet: str, camera: NDArray[np.float32]) -> None:
    done = apply(camera, Settings(noise_sigma=0.01, wavelet=wavelet))
    assert np.sqrt(np.mean((done - camera) ** 2)) < 0.03


def test_a_constant_added_a_scale_and_a_transposition_come_through(noisy: NDArray[np.float32]) -> None:
    piece = noisy[:64, :96]
    plain = apply(piece, Settings(noise_sigma=25.0))
    np.testing.assert_allclose(apply(piece + 4096, Settings(noise_sigma=25.0)) - 4096, plain, atol=5e-3)
    np.testing.assert_allclose(apply(piece * 1e-3, Settings(noise_sigma=0.025)) * 1e3, plain, atol=1e-3)
    np.testing.assert_allclose(apply(piece.T, Settings(noise_sigma=25.0)).T, plain, atol=1e-3)


def test_threads_do_not_change_a_bit(noisy: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(apply(noisy[:80, :70], Settings(noise_sigma=25.0)))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (7, 7), (33, 50)])
def test_any_size_gives_finite_values(shape: tuple[int, int], rng: Generator) -> None:
    image = rng.normal(100, 10, shape).astype(np.float32)
    before = image.copy()
    for settings in (Settings(), Settings(noise_sigma=10.0, levels=8), Settings(noise_sigma=1e4)):
        done = apply(image, settings)
        assert done.shape == shape
        assert done.dtype == np.float32
        assert np.isfinite(done).all()
        assert not np.shares_memory(done, image)
    np.testing.assert_array_equal(image, before)


def test_without_noise_and_without_contrast_nothing_changes(noisy: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(apply(noisy[:30, :30], Settings(noise_sigma=0.0)), noisy[:30, :30])
    for value in (0, 7, 65535):
        flat = np.full((30, 33), value, np.uint16)
        for sigma in (None, 0.0, 5.0):
            np.testing.assert_array_equal(apply(flat, Settings(noise_sigma=sigma)), flat)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wavelet": "bior1.5"}, "wavelet"),
        ({"levels": 0}, "levels must be"),
        ({"levels": 9}, "levels must be"),
        ({"noise_sigma": -1.0}, "noise_sigma must be"),
        ({"noise_sigma": float("nan")}, "noise_sigma must be"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Settings(**options)
