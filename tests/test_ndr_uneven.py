"""Ramps with uneven times, averaged reads, missing reads and jumps, against explicit covariance matrices."""

from __future__ import annotations

import numpy as np
import pytest

from quietframe.errors import InputError
from quietframe.ndr import weights
from quietframe.ndr.uneven import ReadPattern, solve


def explicit(
    ramp: np.ndarray, groups: list[list[float]], flux: float, noise: float, kept: np.ndarray
) -> tuple[float, float, float]:
    """Fit one ramp from the covariance of all its samples; return rate, variance, chi2."""
    samples = np.concatenate([np.asarray(group) for group in groups])
    average = np.zeros((len(groups), len(samples)))
    position = 0
    for row, group in enumerate(groups):
        average[row, position : position + len(group)] = 1 / len(group)
        position += len(group)
    start = samples[0]
    covariance = flux * np.minimum.outer(samples - start, samples - start) + noise**2 * np.eye(len(samples))
    select = np.eye(len(groups))[kept]
    differencing = np.diff(select @ average, axis=0)
    mixed = differencing @ covariance @ differencing.T
    time = differencing @ samples
    step = np.diff(select @ ramp)
    solved = np.linalg.solve(mixed, time)
    rate, variance = solved @ step / (solved @ time), 1 / (solved @ time)
    left = step - rate * time
    return float(rate), float(variance), float(left @ np.linalg.solve(mixed, left))


@pytest.mark.parametrize("kind", ["even", "uneven", "groups", "masked", "masked groups"])
def test_the_solution_equals_brute_force(kind: str, rng: np.random.Generator) -> None:
    for _ in range(50):
        n = int(rng.integers(2, 60))
        flux, noise = float(10 ** rng.uniform(-1.3, 2.5)), float(10 ** rng.uniform(-0.7, 1.3))
        sizes = rng.integers(1, 6, n) if "groups" in kind else np.ones(n, int)
        gaps = np.ones(sizes.sum()) if kind == "even" else rng.uniform(0.2, 5.0, sizes.sum())
        samples = np.cumsum(gaps)
        groups = [list(part) for part in np.split(samples, np.cumsum(sizes)[:-1])]
        charge = np.cumsum(rng.poisson(flux * gaps)) + noise * rng.standard_normal(len(samples))
        ramp = np.array([part.mean() for part in np.split(charge, np.cumsum(sizes)[:-1])])
        kept = np.ones(n, bool)
        if "masked" in kind and n > 3:
            kept[rng.permutation(n)[: rng.integers(1, n - 2)]] = False
        rate, variance, chi2 = explicit(ramp, groups, flux, noise, kept)
        with_gaps = np.where(kept, ramp, np.nan)[:, None]
        fit = solve(with_gaps, ReadPattern.of_groups(groups), np.array([flux]), np.array([noise]), kept=kept[:, None])
        # Rates near 0 are compared on the scale of their error.
        assert abs(fit.rate[0] - rate) <= 1e-6 * max(abs(rate), np.sqrt(variance))
        assert fit.shot[0] + fit.read[0] == pytest.approx(variance, rel=1e-6)
        assert fit.chi2[0] == pytest.approx(chi2, rel=1e-6, abs=1e-9)
        assert fit.used[0] == kept.sum()


def test_equal_spacing_gives_the_closed_form() -> None:
    ramp = np.cumsum(np.random.default_rng(1).poisson(3.0, 80)).astype(float)
    fit = solve(ramp[:, None], ReadPattern.of_times(np.arange(80)), np.array([3.0]), np.array([4.0]))
    row = weights.optimal(80, 3.0, 4.0)
    assert fit.rate[0] == pytest.approx(row @ np.diff(ramp), rel=1e-12)
    shot, read = weights.noise_factors(row)
    assert fit.shot[0] == pytest.approx(3.0 * shot, rel=1e-10)
    assert fit.read[0] == pytest.approx(16.0 * read, rel=1e-10)


def test_a_difference_that_is_left_out_parts_the_ramp_into_two_that_are_combined(rng: np.random.Generator) -> None:
    ramp = np.cumsum(rng.poisson(2.0, 30)) + rng.normal(0, 3, 30)
    times = ReadPattern.of_times(np.cumsum(rng.uniform(0.5, 2.0, 30)))
    flux, noise = np.array([2.0]), np.array([3.0])
    jumping = ramp.copy()
    jumping[12:] += 1e4
    without = np.zeros((29, 1), bool)
    without[11] = True
    fit = solve(jumping[:, None], times, flux, noise, without=without)
    parts = [solve(ramp[a:b, None], times.part(a, b), flux, noise) for a, b in ((0, 12), (12, 30))]
    trust = [1 / (part.shot[0] + part.read[0]) for part in parts]
    assert fit.rate[0] == pytest.approx(sum(t * p.rate[0] for t, p in zip(trust, parts, strict=True)) / sum(trust))
    assert fit.shot[0] + fit.read[0] == pytest.approx(1 / sum(trust))


def test_the_significance_of_a_jump_is_its_normal_score() -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.uniform(0.5, 2.0, 25))
    ramps = np.cumsum(rng.poisson(5.0 * np.diff(times, prepend=0)[:, None], (25, 20000)), axis=0).astype(float)
    ramps += 6.0 * rng.standard_normal(ramps.shape)
    flux, noise = np.full(20000, 5.0), np.full(20000, 6.0)
    quiet = solve(ramps, ReadPattern.of_times(times), flux, noise, test_jumps=True)
    # 20000 scores of unit variance: their standard deviation is known to 0.5 %
    np.testing.assert_allclose(quiet.significance.std(axis=1), 1.0, atol=0.025)
    ramps[10:] += 80.0
    struck = solve(ramps, ReadPattern.of_times(times), flux, noise, test_jumps=True)
    assert np.mean(struck.significance.argmax(axis=0) == 9) > 0.99


def test_pixels_without_two_reads_are_nan() -> None:
    kept = np.zeros((5, 3), bool)
    kept[2, 1] = kept[1, 2] = kept[4, 2] = True
    ramps = np.arange(5.0)[:, None] * np.ones(3)
    fit = solve(ramps, ReadPattern.of_times(np.arange(5)), np.ones(3), np.ones(3), kept=kept)
    np.testing.assert_array_equal(np.isnan(fit.rate), [True, True, False])
    assert fit.rate[2] == pytest.approx(1.0)
    np.testing.assert_array_equal(fit.used, [0, 0, 2])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([[0.0]], "2 reads or more"),
        ([[0.0], []], "each of them given"),
        ([[0.0], [2.0], [1.0]], "must ascend; time 2 is 2 and time 3 is 1"),
        ([[0.0], [np.nan]], "finite"),
    ],
)
def test_times_that_make_no_ramp_are_refused(groups: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReadPattern.of_groups(groups)
