"""BM3D: its parts against scipy, PyWavelets and brute force, the whole against the authors' package and plain facts."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.fft import dctn
from skimage import data, metrics

from quietframe.errors import InputError, OptionError
from quietframe.filters.bm3d import Settings, apply, halo
from quietframe.kernels.block_matching import displacements, match_row
from quietframe.kernels.block_transforms import (
    biorthogonal_matrix,
    block_covariance,
    both_ways,
    cosine_matrix,
    possible_correlation,
    share_in_finest_diagonal,
)
from quietframe.kernels.bm3d_groups import gather, group_variance, haar_back, scatter

Generator = np.random.Generator


def haar_matrix(count: int) -> NDArray[np.float64]:
    """Rows in the order in which the kernel leaves its coefficients, made from the definition of Haar's basis."""
    matrix = np.zeros((count, count))
    matrix[0] = count**-0.5
    for k in range(1, count):
        step = k & -k
        matrix[k, k - step : k], matrix[k, k : k + step] = (2 * step) ** -0.5, -((2 * step) ** -0.5)
    return matrix


def psnr(truth: NDArray[Any], image: NDArray[Any]) -> float:
    return float(metrics.peak_signal_noise_ratio(truth.astype(np.float64), image.astype(np.float64), data_range=255))


@pytest.fixture(scope="module")
def camera() -> NDArray[np.float32]:
    return data.camera().astype(np.float32)


@pytest.fixture(scope="module")
def noisy(camera: NDArray[np.float32]) -> NDArray[np.float32]:
    return camera + np.random.default_rng(25).normal(0, 25, camera.shape).astype(np.float32)


@pytest.fixture(scope="module")
def piece(noisy: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(noisy[100:205, 180:270])


def test_the_cosine_transform_is_the_one_of_scipy(rng: Generator) -> None:
    block, matrix = rng.normal(size=(8, 8)), cosine_matrix()
    np.testing.assert_allclose(matrix @ block @ matrix.T, dctn(block, norm="ortho"), atol=1e-12)


def test_the_wavelet_transform_is_the_one_of_pywavelets_with_rows_of_unit_norm(rng: Generator) -> None:
    pywt = pytest.importorskip("pywt")
    line, matrix = rng.normal(size=8), biorthogonal_matrix()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # all three levels of 8 samples are meant
        truth = np.concatenate(pywt.wavedec(line, "bior1.5", mode="periodization", level=3))
        rows = np.stack([np.concatenate(pywt.wavedec(e, "bior1.5", mode="periodization", level=3)) for e in np.eye(8)])
    np.testing.assert_allclose(matrix @ line, truth / np.linalg.norm(rows, axis=0), atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1)[1:], 0, atol=1e-12)  # a constant is in the mean alone


@pytest.mark.parametrize("matrix", [cosine_matrix(), biorthogonal_matrix()], ids=["cosine", "biorthogonal"])
def test_a_group_is_transformed_as_by_matrices_and_comes_back(matrix: NDArray[Any], rng: Generator) -> None:
    image = rng.normal(size=(40, 40)).astype(np.float32)
    places = rng.integers(0, 33, (8, 2))
    group = np.empty((8, 64), np.float32)
    gather(image, places, both_ways(matrix), group)
    blocks = np.stack([image[y : y + 8, x : x + 8] for y, x in places])
    flat = np.einsum("ua,kab,vb->kuv", matrix, blocks, matrix).reshape(8, 64)
    np.testing.assert_allclose(group, haar_matrix(8) @ flat, atol=2e-5)
    sums = np.zeros((2, 40, 40), np.float32)
    scatter(group.copy(), places, 0, np.ones(64, np.float32), both_ways(matrix), sums)
    covered = sums[1] > 0
    np.testing.assert_allclose(sums[0][covered] / sums[1][covered], image[covered], atol=1e-5)
    haar_back(group)
    np.testing.assert_allclose(group, flat, atol=2e-5)


def test_matching_finds_the_blocks_that_brute_force_finds(rng: Generator) -> None:
    image = rng.normal(size=(30, 37)).astype(np.float32)
    moves, columns, y, room, limit = displacements(9), np.array([0, 3, 12, 28, 29]), 11, 8, 110.0
    offsets = rng.uniform(0, 20, len(moves)).astype(np.float32)
    which = np.empty((len(columns), room), np.int32)
    counts = match_row(image, y, columns, moves, offsets, limit, which)
    for j, x in enumerate(columns):
        own, found = image[y : y + 8, x : x + 8].astype(np.float64), []
        for index, (dy, dx) in enumerate(moves):
            if 0 <= y + dy <= 22 and 0 <= x + dx <= 29:
                other = image[y + dy : y + dy + 8, x + dx : x + dx + 8]
                found.append((((own - other) ** 2).sum() - offsets[index], index))
        nearest = [index for distance, index in sorted(found) if distance < limit][: room - 1]
        assert which[j, : counts[j]].tolist() == [-1, *nearest]
    assert 1 < counts.min() <= counts.max() == room, "the limit must bind for some groups, the room for others"


def test_the_variance_of_a_group_is_that_of_its_covariance_matrix(rng: Generator) -> None:
    kernel = rng.normal(size=(3, 3))
    noise = ndimage.correlate(np.pad(kernel, 1), kernel, mode="constant")  # what the kernel makes of white noise
    matrix, places = biorthogonal_matrix(), np.array([[5, 5], [5, 6], [8, 3], [25, 25]])
    table = block_covariance(matrix, noise)
    variance = np.empty((4, 64), np.float32)
    group_variance(places, table, variance)
    pixels = np.concatenate([place + np.argwhere(np.ones((8, 8))) for place in places])
    apart = pixels[:, None] - pixels[None]
    near = (np.abs(apart) <= 2).all(axis=2)
    covariance = np.where(near, noise[tuple(np.clip(apart + 2, 0, 4).transpose(2, 0, 1))], 0)
    whole = np.kron(haar_matrix(4), np.kron(matrix, matrix))
    truth = np.einsum("ij,jk,ik->i", whole, covariance, whole).reshape(4, 64)
    floor = 0.01 * table[table.shape[0] // 2, table.shape[1] // 2]
    np.testing.assert_allclose(variance, np.maximum(truth, floor), rtol=1e-3, atol=1e-4)


def test_a_correlation_is_made_possible_and_a_possible_one_is_kept() -> None:
    line = np.array([0.1, 0.5, 1.0, 0.5, 0.1])
    real = np.outer(line, line)  # its spectrum (1 + cos w + 0.2 cos 2w)^2 is positive
    np.testing.assert_allclose(possible_correlation(real), real, atol=1e-12)
    wrong = np.outer([0.0, 0.9, 1.0, 0.9, 0.0], [0.0, 0.9, 1.0, 0.9, 0.0])
    assert np.abs(possible_correlation(wrong) - wrong).max() > 0.05


def test_the_noise_in_the_finest_diagonal_is_what_blurred_noise_has_there(rng: Generator) -> None:
    pywt = pytest.importorskip("pywt")
    assert share_in_finest_diagonal(np.ones((1, 1))) == pytest.approx(1)
    line = np.array([0, 0, 0.25, 0.5, 0.25, 0, 0])
    own = np.correlate(line, line, mode="same")
    correlation = np.outer(own, own) / own.max() ** 2
    blurred = ndimage.convolve1d(ndimage.convolve1d(rng.normal(size=(1024, 1024)), line[2:5], 0), line[2:5], 1)
    detail = pywt.dwt2(blurred, "db2")[1][2]
    # 262144 coefficients, weakly correlated: 1 % is some three standard deviations of their variance.
    assert detail.var() / blurred.var() == pytest.approx(share_in_finest_diagonal(correlation), rel=0.02)


def test_camera_at_sigma_25_reaches_the_package(camera: NDArray[np.float32], noisy: NDArray[np.float32]) -> None:
    # 29.91 dB by bm3d 4.0.3, profile np, on another draw of the noise; draws differ by 0.03 dB.
    assert psnr(camera, apply(noisy, Settings(noise_sigma=25.0))) > 29.81
    assert psnr(camera, apply(noisy, Settings(noise_sigma=25.0, stage="hard"))) > 29.42


@pytest.mark.parametrize("sigma", [10.0, 50.0])
def test_a_piece_is_as_good_as_by_the_package(sigma: float, camera: NDArray[np.float32], rng: Generator) -> None:
    pytest.importorskip("bm3d", reason="the closed bm3d package is not installed")
    truth = camera[100:292, 100:292]
    noisy = truth + rng.normal(0, sigma, truth.shape).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        reference = apply(noisy, Settings(noise_sigma=sigma, engine="reference"))
    assert psnr(truth, apply(noisy, Settings(noise_sigma=sigma))) > psnr(truth, reference) - 0.1


def test_correlated_noise_is_removed_as_such(camera: NDArray[np.float32], rng: Generator) -> None:
    truth = camera[:256, :256]
    noise = ndimage.gaussian_filter(rng.normal(size=truth.shape), 0.8)
    noisy = (truth + 25 / noise.std() * noise).astype(np.float32)
    white = psnr(truth, apply(noisy, Settings(noise_sigma=25.0, correlated="no")))
    measured = apply(noisy, Settings(noise_sigma=25.0, correlated="auto"))
    best_blur = max(psnr(truth, ndimage.gaussian_filter(noisy, width)) for width in (1.0, 1.5, 2.0, 2.5))
    assert psnr(truth, measured) > max(white, best_blur) + 0.5
    np.testing.assert_array_equal(measured, apply(noisy, Settings(noise_sigma=25.0, correlated="yes")))
    estimated = apply(noisy, Settings())
    assert psnr(truth, estimated) > psnr(truth, measured) - 0.5  # sigma from the finest details, corrected


def test_threads_and_memory_layout_do_not_change_a_bit(
    piece: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for threads, image in (("1", piece), ("2", piece), ("5", np.asfortranarray(piece))):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(apply(image, Settings(noise_sigma=25.0)))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_constant_added_and_a_scale_come_through(piece: NDArray[np.float32]) -> None:
    plain = apply(piece, Settings(noise_sigma=25.0))
    # Integers keep the added constant exact; rounding may swap two blocks of equal likeness, which moves a few pixels.
    for changed, back in ((piece + 4096, lambda x: x - 4096), (piece * 1e-3, lambda x: x * 1e3)):
        sigma = 25.0 if changed.max() > 1000 else 0.025
        difference = np.abs(back(apply(changed, Settings(noise_sigma=sigma))) - plain)
        assert np.median(difference) < 2e-3
        assert difference.mean() < 0.02


def test_mirrored_images_give_mirrored_results_where_the_blocks_fall_alike(piece: NDArray[np.float32]) -> None:
    image = piece[:98, :74]  # 98 - 8 and 74 - 8 are multiples of 3, so the reference blocks mirror onto each other
    plain = apply(image, Settings(noise_sigma=25.0))
    # bior1.5 is not symmetric in its periodic form over 8 px: the same to a fraction of the noise, not to a bit.
    for axis in (0, 1):
        other = np.flip(apply(np.flip(image, axis), Settings(noise_sigma=25.0)), axis)
        assert np.sqrt(np.mean((other - plain) ** 2)) < 0.1 * 25


@pytest.mark.parametrize("stage", ["hard", "both"])
def test_a_piece_with_its_halo_gives_the_pixels_of_the_whole(stage: Any, noisy: NDArray[np.float32]) -> None:
    whole, settings = noisy[:300, :60], Settings(noise_sigma=25.0, stage=stage)
    far = halo(settings)[0]  # type: ignore[index]
    start = 99  # a multiple of 3, and so are both halos: 45 and 90
    assert far % 3 == 0
    part = apply(whole[start - far : 200 + far], settings)[far : far + 101]
    # The mean that is taken off before single precision differs, and rounding may swap two blocks of equal likeness.
    np.testing.assert_allclose(part, apply(whole, settings)[start:200], atol=2e-3 * 25)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (7, 7), (8, 8), (3, 30), (9, 50)])
def test_small_images_keep_their_shape_and_finite_values(shape: tuple[int, int], rng: Generator) -> None:
    image = rng.normal(100, 10, shape).astype(np.float32)
    before = image.copy()
    for settings in (Settings(), Settings(noise_sigma=10.0), Settings(noise_sigma=1e4)):
        done = apply(image, settings)
        assert done.shape == shape
        assert done.dtype == np.float32
        assert np.isfinite(done).all()
        assert not np.shares_memory(done, image)
    np.testing.assert_array_equal(image, before)
    assert apply(image, Settings(noise_sigma=1e4)).mean() == pytest.approx(image.mean(), abs=5)


def test_without_noise_and_without_contrast_nothing_changes(piece: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(apply(piece, Settings(noise_sigma=0.0)), piece)
    for value in (0, 7, 65535):
        flat = np.full((30, 33), value, np.uint16)
        for sigma in (None, 0.0, 5.0):
            np.testing.assert_array_equal(apply(flat, Settings(noise_sigma=sigma)), flat)


@pytest.mark.parametrize("scale", [1e-30, 1e28])
def test_extreme_units_do_not_overflow(scale: float, piece: NDArray[np.float32]) -> None:
    done = apply((piece[:40, :40] * np.float32(scale)), Settings(noise_sigma=25 * scale))
    np.testing.assert_allclose(done / scale, apply(piece[:40, :40], Settings(noise_sigma=25.0)), atol=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_sigma": -1.0}, "noise_sigma must be"),
        ({"noise_sigma": float("nan")}, "noise_sigma must be"),
        ({"noise_sigma": float("inf")}, "noise_sigma must be"),
        ({"stage": "hardd"}, "hard"),
        ({"correlated": "maybe"}, "auto"),
        ({"engine": "refernce"}, "reference"),
        ({"engine": "reference", "correlated": "yes"}, "white noise only"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Settings(**options)


def test_a_correlation_that_cannot_be_measured_is_refused_where_it_was_asked_for() -> None:
    with pytest.raises(InputError, match="noise correlation"):
        apply(np.zeros((20, 20), np.float32), Settings(correlated="yes"))


def test_a_missing_package_is_named_with_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(OptionError, match=r"non-commercial.*pip install bm3d"):
        apply(np.eye(20, dtype=np.float32), Settings(noise_sigma=0.1, engine="reference"))
