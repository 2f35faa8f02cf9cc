"""PSNR, affine PSNR, NRMSE and SSIM against closed forms and brute force."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from quietframe.errors import InputError, OptionError
from quietframe.metrics.reference import affine_match, default_data_range, nrmse, psnr, psnr_affine, ssim

SCENE = np.random.default_rng(3).gamma(2.0, 50.0, (40, 36))


def test_psnr_of_a_constant_error_is_its_closed_form() -> None:
    # An error of 5 at a range of 250: 20 log10(50).
    assert psnr(SCENE, SCENE + 5, 250.0) == pytest.approx(20 * math.log10(50), abs=1e-9)


def test_equal_images_have_infinite_psnr_and_ssim_one() -> None:
    assert psnr(SCENE, SCENE.copy(), 100.0) == math.inf
    assert ssim(SCENE, SCENE.copy(), 100.0) == pytest.approx(1.0, abs=1e-12)
    assert nrmse(SCENE, SCENE) == 0


def test_affine_psnr_ignores_gain_and_offset(rng: np.random.Generator) -> None:
    noisy = SCENE + rng.normal(0, 10, SCENE.shape)
    # The match undoes the affine change exactly up to float64 rounding.
    assert psnr_affine(SCENE, 0.01 * noisy + 7, 300.0) == pytest.approx(psnr_affine(SCENE, noisy, 300.0), abs=1e-6)
    assert psnr_affine(SCENE, noisy, 300.0) > psnr(SCENE, noisy, 300.0)


def test_affine_match_is_the_least_squares_solution(rng: np.random.Generator) -> None:
    noisy = 3 * SCENE - 20 + rng.normal(0, 10, SCENE.shape)
    columns = np.stack([noisy.ravel(), np.ones(noisy.size)], axis=1)
    slope, offset = np.linalg.lstsq(columns, SCENE.ravel(), rcond=None)[0]
    np.testing.assert_allclose(affine_match(SCENE, noisy), slope * noisy + offset, rtol=1e-9)


def test_constant_image_matches_as_the_mean_of_the_truth() -> None:
    np.testing.assert_allclose(affine_match(SCENE, np.full(SCENE.shape, 9.0)), SCENE.mean())


def test_nrmse_is_the_ratio_of_norms(rng: np.random.Generator) -> None:
    noisy = SCENE + rng.normal(0, 10, SCENE.shape)
    expected = math.sqrt(math.fsum(((noisy - SCENE) ** 2).ravel()) / math.fsum((SCENE**2).ravel()))
    assert nrmse(SCENE, noisy) == pytest.approx(expected, rel=1e-12)


def test_ssim_is_the_published_formula(rng: np.random.Generator) -> None:
    noisy = SCENE + rng.normal(0, 20, SCENE.shape)
    distance = np.arange(-5, 6)
    window = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 400.0) ** 2, (0.03 * 400.0) ** 2
    values = []
    for y in range(5, SCENE.shape[0] - 5):
        for x in range(5, SCENE.shape[1] - 5):
            here, there = SCENE[y - 5 : y + 6, x - 5 : x + 6], noisy[y - 5 : y + 6, x - 5 : x + 6]
            mean_a, mean_b = (window * here).sum(), (window * there).sum()
            var_a, var_b = (window * here**2).sum() - mean_a**2, (window * there**2).sum() - mean_b**2
            both = (window * here * there).sum() - mean_a * mean_b
            values.append(
                (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    # scikit-image averages where the window lies inside, as the loop does.
    assert ssim(SCENE, noisy, 400.0) == pytest.approx(float(np.mean(values)), abs=1e-9)


def test_data_range_is_the_percentile_distance_and_ignores_a_hot_pixel() -> None:
    truth = np.arange(10001, dtype=np.float64).reshape(73, 137)
    truth[0, 1] = 1e9  # value 1 replaced: ranks below 9990 shift by one
    assert default_data_range(truth) == pytest.approx(9990 + 1 - 10 - 1, abs=1.5)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: psnr(SCENE, SCENE[:, :9], 1.0), InputError, r"shape \(40, 36\), the image \(40, 9\)"),
        (lambda: psnr(SCENE, SCENE * np.nan, 1.0), InputError, "1440 of 1440 pixels of the image are NaN"),
        (lambda: psnr(SCENE, SCENE, 0.0), OptionError, "above 0; got 0.0"),
        (lambda: psnr(SCENE, SCENE, math.nan), OptionError, "above 0; got nan"),
        (lambda: nrmse(SCENE * 0, SCENE), InputError, "zero everywhere"),
        (lambda: ssim(SCENE[:10], SCENE[:10], 1.0), InputError, r"at least 11 x 11 pixels; got shape \(10, 36\)"),
        (lambda: ssim(SCENE[None], SCENE[None], 1.0), InputError, "planes"),
        (lambda: default_data_range(np.full((9, 9), 4.0)), InputError, r"constant \(4\)"),
        (lambda: default_data_range(np.zeros((1, 1))), InputError, "--data-range"),
        (lambda: default_data_range(np.zeros((0, 3))), InputError, r"shape \(0, 3\)"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
