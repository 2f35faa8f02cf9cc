"""The ramp fit: exact where it can be, efficient, unbiased, honest about its errors, and about what it cannot fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.errors import InputError, OptionError
from quietframe.ndr import weights
from quietframe.ndr.fit import FALLING, JUMP, NOT_FINITE, SATURATED, UNUSABLE, FitTuning, fit_ramp
from quietframe.ndr.reads import Reads

QUIET = FitTuning(jump_sigma=None)


def ramps(rng: np.random.Generator, flux: np.ndarray, n_reads: int, noise: float) -> np.ndarray:
    """Make reads in electrons, float32, with an unknown start per pixel."""
    collected = np.cumsum(rng.poisson(flux, (n_reads, *flux.shape)), axis=0)
    start = rng.normal(500.0, 25.0, flux.shape)
    return np.asarray(collected + start + rng.normal(0.0, noise, collected.shape), np.float32)


def camera(noise: float, **known: Any) -> Camera:
    return Camera(gain_e_per_adu=1.0, read_noise_e=noise, **known)


def explicit(ramp: np.ndarray, flux: float, noise: float) -> tuple[float, float]:
    """Fit one ramp with its whole covariance matrix: rate and variance."""
    n = len(ramp)
    differencing = np.diff(np.eye(n), axis=0)
    of_reads = flux * np.minimum.outer(np.arange(n), np.arange(n)) + noise**2 * np.eye(n)
    covariance = differencing @ of_reads @ differencing.T
    solved = np.linalg.solve(covariance, np.ones(n - 1))
    return float(solved @ (differencing @ ramp) / solved.sum()), float(1.0 / solved.sum())


def test_the_fit_equals_brute_force_for_200_random_ramps(rng: np.random.Generator) -> None:
    for _ in range(200):
        n = int(rng.integers(2, 120))
        flux, noise = float(10 ** rng.uniform(-1.3, 2.5)), float(10 ** rng.uniform(-0.7, 1.3))
        ramp = ramps(rng, np.full((1, 1), flux), n, noise).astype(np.float64)
        fit = fit_ramp(ramp, camera(noise), tuning=FitTuning(jump_sigma=None, flux_guess=flux, threads=1))
        flux32 = float(np.float32(flux))
        rate, variance = explicit(ramp[:, 0, 0], flux32, noise)
        # Rates near 0 are compared on the scale of their error; float32 storage alone is 6e-8.
        assert abs(fit.rate[0, 0] - rate) <= 1e-6 * max(abs(rate), np.sqrt(variance))
        assert fit.variance[0, 0] == pytest.approx(variance, rel=1e-6)


def test_the_weights_that_were_used_are_exact_for_the_flux_the_fit_reports(rng: np.random.Generator) -> None:
    flux = rng.uniform(0.1, 30.0, (24, 24))
    reads = ramps(rng, flux, 20, 6.0).astype(np.float64)
    fit = fit_ramp(reads, camera(6.0), tuning=QUIET)
    for y, x in [(0, 0), (3, 17), (23, 23), (12, 5)]:
        rate, _ = explicit(reads[:, y, x], float(fit.weight_flux[y, x]), 6.0)
        assert fit.rate[y, x] == pytest.approx(rate, rel=1e-5)


@pytest.mark.parametrize(
    ("n_reads", "noise", "flux", "gain"),
    # "SNR gain over last minus first" of the optimal fit, analytic values checked by Monte Carlo
    [(16, 5, 0.5, 1.52), (64, 5, 0.05, 2.54), (250, 20, 0.05, 4.90), (1000, 5, 50, 1.00), (1000, 20, 0.5, 1.57)],
)
def test_gain_over_last_minus_first(n_reads: int, noise: float, flux: float, gain: float) -> None:
    best = 1.0 / weights.information(n_reads, flux, noise)
    shot, read = weights.noise_factors(weights.last_first(n_reads))
    assert np.sqrt((flux * shot + noise**2 * read) / best) == pytest.approx(gain, abs=0.006)


def test_least_squares_loses_to_last_minus_first_on_bright_pixels() -> None:
    slope, plain = (weights.noise_factors(rule(1000))[0] for rule in (weights.least_squares, weights.last_first))
    assert np.sqrt(plain / slope) == pytest.approx(np.sqrt(5 / 6), abs=1e-3)


@pytest.mark.parametrize(("noise", "flux"), [(5.0, 0.05), (5.0, 1.0), (20.0, 0.2)])
def test_bias_and_coverage_of_flat_scenes(noise: float, flux: float) -> None:
    rng = np.random.default_rng(7)
    n = 50
    reads = ramps(rng, np.full((128, 128), flux), n, noise)
    fit = fit_ramp(reads, camera(noise), tuning=QUIET)
    sigma = 1.0 / np.sqrt(weights.information(n, flux, noise))
    error = fit.rate - flux
    # 16384 pixels: the mean is known to sigma/128. The guess may bias by 0.6 % of the flux on top.
    assert abs(error.mean()) <= 0.006 * flux + 4 * sigma / 128
    # efficiency: the scatter is that of perfect weights within the 0.8 % that 16384 samples allow (3 sigma), + 1 %
    assert error.std() / sigma == pytest.approx(1.0, abs=0.027)
    covered = np.mean(np.abs(error) < 1.96 * np.sqrt(fit.variance))
    assert 0.94 <= covered <= 0.96


def test_background_and_structure_are_covered_alike() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:128, :128]
    flux = 0.1 + 4.0 * np.exp(-(((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) / 30.0))
    reads = ramps(rng, flux, 60, 5.0)
    fit = fit_ramp(reads, camera(5.0))
    covered = np.abs(fit.rate - flux) < 1.96 * np.sqrt(fit.variance)
    for low, high in ((0, 0.2), (0.2, 1.5), (1.5, 9)):
        part = (flux >= low) & (flux < high)
        # binomial error of some thousand pixels: 0.4 %
        assert np.mean(covered[part]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("flux", [210, 1000, 4000])
def test_saturated_ramps_are_cut_without_bias(flux: float) -> None:
    rng = np.random.default_rng(int(flux))
    well, noise, n = 20000.0, 3.0, 100
    shape = (24, 24)
    collected = np.minimum(np.cumsum(rng.poisson(flux, (n, *shape)), axis=0), well)
    reads = (collected + rng.normal(0, noise, collected.shape)).astype(np.float32)
    fit = fit_ramp(reads, camera(noise, full_well_e=well, black_adu=0.0), full_well_fraction=0.9)
    assert np.all(fit.flags & SATURATED)
    used = 0.9 * well / flux
    assert abs(float(fit.n_used.mean()) - used) < 2.0
    # 576 pixels of relative error 1/sqrt(flux * used): 4 sigma of their mean, and the 0.3 % that the cut may bias
    assert fit.rate.mean() / flux == pytest.approx(1.0, abs=0.003 + 4 / np.sqrt(576 * flux * used))


def test_the_end_of_the_number_range_is_saturation_too(rng: np.random.Generator) -> None:
    reads = np.minimum(ramps(rng, np.full((16, 16), 9000.0), 12, 5.0), 65535).astype(np.uint16)
    fit = fit_ramp(reads, camera(5.0))
    assert np.all(fit.flags & SATURATED)
    assert fit.rate.mean() == pytest.approx(9000, rel=0.01)


def test_a_step_of_30_electrons_is_found_and_taken_out() -> None:
    rng = np.random.default_rng(11)
    reads = ramps(rng, np.full((100, 100), 0.5), 100, 5.0)
    clean = fit_ramp(reads, camera(5.0))
    # 2e-4 per ramp allowed: 2 expected of 10000, 8 would be 4 sigma
    assert np.count_nonzero(clean.flags & JUMP) <= 8
    hit = np.zeros((100, 100), bool)
    hit[::7, ::7] = True
    reads[41:, hit] += 30.0
    fit = fit_ramp(reads, camera(5.0))
    found = (fit.flags & JUMP) > 0
    assert found[hit].mean() >= 0.97
    error = (fit.rate - 0.5) / np.sqrt(fit.variance)
    assert abs(error[hit & found].mean()) < 4 / np.sqrt(hit.sum())
    assert error[hit & found].std() == pytest.approx(1.0, abs=0.2)


def test_photons_that_arrive_together_are_no_jump() -> None:
    rng = np.random.default_rng(5)
    reads = ramps(rng, np.full((128, 128), 0.05), 60, 0.2)
    fit = fit_ramp(reads, camera(0.2))
    assert np.count_nonzero(fit.flags & JUMP) <= 8


def test_noisier_pixels_do_not_seem_to_jump() -> None:
    rng = np.random.default_rng(6)
    noise = 4.0 * np.exp(0.25 * rng.standard_normal((128, 128)))
    reads = np.cumsum(rng.poisson(0.5, (60, 128, 128)), axis=0) + noise * rng.standard_normal((60, 128, 128))
    fit = fit_ramp(reads.astype(np.float32), camera(float(np.sqrt(np.mean(noise**2)))))
    # without the pixel's own noise taken into account several hundred of the 16384 ramps would be cut
    assert np.count_nonzero(fit.flags & JUMP) <= 16


def test_missing_reads_cut_the_ramp_and_are_flagged(rng: np.random.Generator) -> None:
    reads = ramps(rng, np.full((8, 8), 50.0), 20, 2.0)
    reads[12, 0, 0], reads[0, 1, 1], reads[1, 2, 2], reads[5, 3, 3] = np.nan, np.inf, np.nan, -np.inf
    fit = fit_ramp(reads, camera(2.0))
    assert fit.flags[0, 0] & NOT_FINITE
    assert fit.n_used[0, 0] == 12
    assert fit.rate[0, 0] == pytest.approx(50.0, abs=12)
    for place in ((1, 1), (2, 2)):
        assert fit.flags[place] & UNUSABLE
        assert np.isnan(fit.rate[place])
        assert np.isnan(fit.variance[place])
    assert fit.n_used[3, 3] == 5
    others = np.ones((8, 8), bool)
    others[[0, 1, 2, 3], [0, 1, 2, 3]] = False
    assert not fit.flags[others].any()


def test_falling_ramps_are_signed_and_flagged(rng: np.random.Generator) -> None:
    fit = fit_ramp(ramps(rng, np.full((16, 16), 30.0), 20, 3.0)[::-1].copy(), camera(3.0))
    assert fit.rate.mean() == pytest.approx(-30.0, rel=0.05)
    assert np.all(fit.flags & FALLING)


@pytest.mark.parametrize("method", weights.METHODS)
def test_two_reads_give_their_difference_by_every_method(method: str, rng: np.random.Generator) -> None:
    reads = rng.integers(0, 1000, (2, 9, 9)).astype(np.uint16)
    fit = fit_ramp(reads, camera(3.0), method=method)
    np.testing.assert_allclose(fit.rate, reads[1].astype(float) - reads[0], rtol=1e-6)


@pytest.mark.parametrize("method", weights.METHODS)
def test_a_noiseless_straight_ramp_is_fitted_exactly(method: str) -> None:
    slope = np.linspace(0, 40, 64, dtype=np.float32).reshape(8, 8)
    reads = 100.0 + slope * np.arange(30, dtype=np.float32)[:, None, None]
    fit = fit_ramp(reads, camera(3.0), method=method)
    np.testing.assert_allclose(fit.rate, slope, rtol=1e-5, atol=1e-5)


def test_read_noise_of_zero_means_last_minus_first(rng: np.random.Generator) -> None:
    reads = ramps(rng, np.full((8, 8), 5.0), 12, 0.0)
    fit = fit_ramp(reads, camera(0.0))
    np.testing.assert_allclose(fit.rate, (reads[-1] - reads[0]) / 11, rtol=1e-5)
    assert np.isfinite(fit.variance).all()


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", ">u2", "uint32", "int32", "float32", ">f4", "float64"]
)
def test_every_number_type_gives_the_same_rate(dtype: str) -> None:
    slope = np.arange(64).reshape(8, 8) % 7
    reads = (slope * np.arange(12)[:, None, None]).astype(dtype)
    fit = fit_ramp(reads, camera(1.0), tuning=QUIET)
    np.testing.assert_allclose(fit.rate, slope, atol=1e-4)


def test_offsets_of_32_bit_cameras_do_not_cost_digits() -> None:
    reads = (4_000_000_000 + 3 * np.arange(10)[:, None, None] + np.zeros((10, 4, 4))).astype(np.uint32)
    fit = fit_ramp(reads, camera(1.0), tuning=QUIET)
    np.testing.assert_allclose(fit.rate, 3.0, atol=1e-4)


def test_blocks_of_rows_give_the_same_as_one_block(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = ramps(rng, rng.uniform(0, 5, (61, 20)), 16, 5.0)
    whole = fit_ramp(reads, camera(5.0))
    monkeypatch.setattr("quietframe.ndr.reads.BLOCK_BYTES", 16 * 20 * 4 * 9)
    assert len(Reads(reads, reads.shape, reads.dtype).row_blocks()) == 7
    parts = fit_ramp(reads, camera(5.0))
    # The guess is the same but for the last digits, which may move a pixel to the next entry of the bank of weights.
    np.testing.assert_allclose(parts.rate, whole.rate, atol=0.02 * float(np.sqrt(whole.variance).max()))
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=0.01)
    np.testing.assert_array_equal(parts.flags, whole.flags)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "optimum"}, "did you mean optimal"),
        ({"first": 16}, "first read 17"),
        ({"first": -1}, "first read 0"),
        ({"last": 17}, "last read 17"),
        ({"first": 5, "last": 5}, "last read 5 must lie after"),
        ({"first": 5, "last": 6}, "one read only"),
        ({"full_well_fraction": 0.0}, "full_well_fraction must be above 0"),
        ({"full_well_fraction": 1.5}, "full_well_fraction must be above 0 and at most 1; got 1.5"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, OptionError), match=message):
        fit_ramp(np.zeros((16, 4, 4), np.uint16), camera(5.0), **change)


@pytest.mark.parametrize(
    "reads", [np.zeros((1, 4, 4)), np.zeros((4, 4)), np.zeros((3, 0, 4)), np.zeros((3, 4, 4), complex)]
)
def test_arrays_that_are_no_ramp_are_refused(reads: np.ndarray) -> None:
    with pytest.raises(InputError):
        fit_ramp(reads, camera(5.0))


def test_a_camera_without_gain_or_noise_is_refused() -> None:
    with pytest.raises(OptionError, match="calibrate them first"):
        fit_ramp(np.zeros((4, 4, 4)), Camera(gain_e_per_adu=1.0))
    with pytest.raises(OptionError, match="jump_sigma must lie between"):
        FitTuning(jump_sigma=-3.0)
