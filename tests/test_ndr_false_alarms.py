"""Long ramps and dark ramps raise no more false alarms of jumps than bright ramps of 100 reads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from quietframe.camera import Camera
from quietframe.ndr.false_alarms import thresholds
from quietframe.ndr.fit import JUMP, FitTuning, fit_ramp
from quietframe.ndr.fit_uneven import fit_uneven
from quietframe.ndr.uneven import ReadPattern


def exposure(rng: np.random.Generator, flux: float, n_reads: int, noise: float, side: int) -> np.ndarray:
    reads = np.cumsum(rng.poisson(flux, (n_reads, side, side)), axis=0, dtype=np.float32)
    return reads + noise * rng.standard_normal(reads.shape, dtype=np.float32)


@pytest.mark.parametrize(("flux", "noise"), [(0.1, 3.0), (0.05, 1.0), (2.0, 3.0), (1.0, 20.0)])
def test_the_tail_is_that_of_normal_noise_and_counted_photons(flux: float, noise: float) -> None:
    # Draw the test statistic itself, in the middle of a long ramp: normal read noise plus photons weighted by
    # exp(-kappa |i|). At 3 sigma it is frequent enough to count.
    rng = np.random.default_rng(3)
    decay = 2 * np.arcsinh(np.sqrt(flux) / (2 * noise))
    weight = np.exp(-decay * np.abs(np.arange(-70, 71))) / (noise * np.sqrt(2 * np.sinh(decay)))
    count, level = 400_000, thresholds(np.array([flux]), noise, 100, 3.0)[0]
    read = 1.0 - flux * np.sum(weight**2)
    drawn = np.sqrt(read) * rng.standard_normal(count)
    for one in weight:
        drawn += one * (rng.poisson(flux, count) - flux)
    alarms, expected = np.count_nonzero(np.abs(drawn) > level), 2 * special.ndtr(-3.0) * count
    # 1080 expected: 3 sigma are 9 %; the approximation and the table add 5 %, their 5 % steps in noise 3 %
    assert 0.83 * expected <= alarms <= 1.17 * expected


def test_bright_ramps_keep_the_sigma_of_the_normal_distribution() -> None:
    assert thresholds(np.array([1e5]), 20.0, 100, 5.0)[0] == pytest.approx(5.0, abs=0.03)
    # a tenth of the chance per test: 99 tests become 999
    expected = -special.ndtri(special.ndtr(-5.0) * 99 / 999)
    assert thresholds(np.array([1e5]), 20.0, 1000, 5.0)[0] == pytest.approx(expected, abs=0.03)


def test_no_ramp_is_tested_more_loosely_than_was_asked() -> None:
    flux = np.geomspace(1e-9, 1e6, 40)
    for noise in (0.01, 0.3, 5.0, 300.0):
        for n_reads in (4, 16, 100, 1500):
            assert np.all(thresholds(flux, noise, n_reads, 5.0) >= 5.0)
            assert np.isfinite(thresholds(flux, noise, n_reads, 5.0)).all()


def test_dark_ramps_of_1000_reads_are_not_cut_and_their_jumps_are_found() -> None:
    rng = np.random.default_rng(1)
    reads = exposure(rng, 0.1, 1000, 3.0, 72)
    clean = fit_ramp(reads, Camera(1.0, 3.0))
    # 5184 ramps, 2e-4 allowed: 1 expected at most, 5 would be 4 sigma. At 5 sigma everywhere 25 are flagged.
    assert np.count_nonzero(clean.flags & JUMP) <= 5
    hit = np.zeros(clean.flags.shape, bool)
    hit[::7, ::7] = True
    reads[500:, hit] += 30.0
    found = (fit_ramp(reads, Camera(1.0, 3.0)).flags & JUMP) > 0
    assert found[hit].mean() >= 0.97


def test_uneven_ramps_are_tested_by_the_same_rule() -> None:
    rng = np.random.default_rng(2)
    reads = exposure(rng, 0.1, 400, 3.0, 48)
    pattern = ReadPattern.of_times(np.arange(400.0))
    even = fit_ramp(reads, Camera(1.0, 3.0), tuning=FitTuning(4.0, flux_guess=0.1))
    uneven = fit_uneven(reads, Camera(1.0, 3.0), pattern, tuning=FitTuning(4.0, flux_guess=0.1))
    # at 4 sigma: 0.6 % of 2304 ramps at most, 14, and both find the same ones
    assert 1 <= np.count_nonzero(even.flags & JUMP) <= 29
    np.testing.assert_array_equal(even.flags & JUMP, uneven.flags & JUMP)
