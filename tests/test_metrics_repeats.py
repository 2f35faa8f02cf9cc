"""The error from a repeat against the true error, which a simulation knows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from quietframe.errors import InputError
from quietframe.metrics.repeats import mse_from_repeat, variance_from_pair

SCENE = 20 + 200 * gaussian_filter(np.random.default_rng(5).random((256, 256)), 3)


def test_estimate_is_the_formula() -> None:
    prediction, repeat = np.array([[1.0, 2.0, 4.0]]), np.array([[2.0, 2.0, 1.0]])
    estimate = mse_from_repeat(prediction, repeat, np.array([[0.5, 0.5, 2.0]]))
    # Terms 0.5, -0.5, 7: mean 7/3, sample variance 16.333.
    assert estimate.mse == pytest.approx(7 / 3)
    assert estimate.standard_error == pytest.approx(
        np.sqrt(((0.5 - 7 / 3) ** 2 + (-0.5 - 7 / 3) ** 2 + (14 / 3) ** 2) / 6)
    )
    assert estimate.n_pixels == 3


def test_estimate_agrees_with_the_truth_within_its_standard_error() -> None:
    # 60 independent repeats of one prediction: the z of the estimate must scatter like a standard normal variable
    # or less (the standard error is conservative where the error varies over the picture).
    rng = np.random.default_rng(11)
    prediction = gaussian_filter(rng.poisson(SCENE).astype(float), 1.0)
    true = float(np.mean((prediction - SCENE) ** 2))
    scores = []
    for _ in range(60):
        estimate = mse_from_repeat(prediction, rng.poisson(SCENE), SCENE)
        scores.append((estimate.mse - true) / estimate.standard_error)
    assert abs(np.mean(scores)) < 4 / np.sqrt(60)
    # The deviation of 60 samples has a relative error of 9 %: 4 of these above 1.
    assert np.std(scores) < 1.37


def test_pair_gives_the_variance_of_one() -> None:
    rng = np.random.default_rng(12)
    first, second = (SCENE + rng.normal(0, 3, SCENE.shape) for _ in range(2))
    # Relative error of a variance from n = 65536 squares: sqrt(2 / n) = 0.55 %; 4 of these.
    assert variance_from_pair(first, second) == pytest.approx(9.0, rel=0.022)


def test_pixels_that_are_not_finite_are_left_out_and_counted() -> None:
    prediction, repeat = np.ones((4, 4)), np.full((4, 4), 3.0)
    prediction[0, 0], repeat[1, 1] = np.nan, np.inf
    estimate = mse_from_repeat(prediction, repeat, 1.0)
    assert (estimate.mse, estimate.n_pixels) == (3.0, 14)
    use = np.zeros((4, 4), dtype=bool)
    use[:2] = True
    assert mse_from_repeat(prediction, repeat, 1.0, use=use).n_pixels == 6


def test_negative_estimates_have_rms_zero_and_a_positive_upper_bound() -> None:
    estimate = mse_from_repeat(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 2.1, 3.0]]), 0.01)
    assert estimate.mse < 0
    assert estimate.rms == 0
    assert estimate.upper_rms >= 0


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"shapes \(4, 4\) and \(4, 5\)"):
        mse_from_repeat(np.ones((4, 4)), np.ones((4, 5)), 1.0)
    with pytest.raises(InputError, match="only 0 of 16 pixels"):
        mse_from_repeat(np.full((4, 4), np.nan), np.ones((4, 4)), 1.0)
    with pytest.raises(InputError, match="only 1 of 1 pixels"):
        variance_from_pair(np.ones((1, 1)), np.ones((1, 1)))
