"""The simulated camera does what its table says, and its truth is the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.errors import InputError, OptionError
from quietframe.ndr.calibrate import calibrate, complete_camera, find_saturation
from quietframe.ndr.fit import SATURATED, fit_ramp
from quietframe.ndr.simulate import SimulatedCamera, Simulation, scene_from_image, simulate_exposure

IDEAL = SimulatedCamera(
    reads=40, read_noise_spread=0.0, ktc_e=0.0, dsnu_e=0.0, prnu=0.0, dark_e=0.0, hot_fraction=0.0, nonlinearity=0.0,
    row_noise_e=0.0, drift_e=0.0, offset_adu=100.0, gain_e_per_adu=1.0,
)  # fmt: skip
FLAT = np.full((96, 96), 5.0, np.float32)


def simulate(flux: np.ndarray = FLAT, seed: int = 1, **change: Any) -> tuple[np.ndarray, Any]:
    reads, truth = simulate_exposure(flux, replace(IDEAL, **change), np.random.default_rng(seed))
    return reads.astype(np.float64), truth


def test_increments_are_poisson_and_reads_carry_the_read_noise() -> None:
    reads, _ = simulate(read_noise_e=3.0)
    steps = np.diff(reads, axis=0)
    # 39 x 9216 differences of variance 5 + 18 + 1/6 (rounding twice): mean to 0.008, variance to 0.06 (one sigma)
    assert steps.mean() == pytest.approx(5.0, abs=0.01)  # the sum telescopes: sigma sqrt(5*39+18)/39/96
    assert steps.var() == pytest.approx(23.17, abs=0.25)
    # neighbouring differences share one read: covariance -9
    assert np.mean((steps[1:] - 5) * (steps[:-1] - 5)) == pytest.approx(-9.08, abs=0.2)
    # the reads of one ramp are correlated as sums of the same photons: var(r40 - r1) = 39 f + 2 s^2
    assert np.var(reads[-1] - reads[0]) == pytest.approx(39 * 5 + 18, rel=0.06)


def test_reset_noise_is_in_every_read_and_in_no_difference() -> None:
    reads, _ = simulate(ktc_e=25.0, read_noise_e=0.0)
    assert reads[0].std() == pytest.approx(np.sqrt(25.0**2 + 5), rel=0.04)
    # whole electrons on a constant start: rounding takes the same part off every read and adds nothing
    assert np.diff(reads, axis=0).var() == pytest.approx(5.0, rel=0.02)


def test_the_true_rate_is_what_a_fit_measures() -> None:
    flux = np.linspace(0.5, 20, 96 * 96, dtype=np.float32).reshape(96, 96)
    reads, truth = simulate(flux, prnu=0.05, dark_e=0.3, bleach=0.4, hot_fraction=0.01, dsnu_e=4.0, ktc_e=20.0)
    fit = fit_ramp(reads, Camera(gain_e_per_adu=1.0, read_noise_e=3.0), method="last-first")
    z = (fit.rate - truth.rate) / np.sqrt(fit.variance)
    assert abs(z.mean()) < 4 / 96
    assert z.std() == pytest.approx(1.0, abs=0.03)
    assert truth.profile[0] == pytest.approx(1.0)
    assert truth.profile[-1] == pytest.approx(0.6)


def test_cosmic_rays_and_saturation_are_noted_at_their_read() -> None:
    flux = np.full((64, 64), 300.0, np.float32)
    reads, truth = simulate(flux, cosmic_probability=1e-3, cosmic_e=5e3, full_well_e=8000.0, read_noise_e=1.0)
    hit = truth.jump > 0
    assert 0.5 < hit.mean() / (39 * 1e-3) < 1.5
    y, x = np.argwhere(hit & (truth.saturated == 0) | hit & (truth.jump < truth.saturated))[0]
    steps = np.diff(reads[:, y, x])
    assert truth.jump[y, x] >= 2
    early = truth.saturated[~hit]
    assert np.median(early) == pytest.approx(8000 / 300, abs=1.5)
    assert np.isfinite(steps).all()
    quiet = np.argwhere(~hit)[0]
    at = truth.saturated[tuple(quiet)]
    assert np.ptp(reads[at:, quiet[0], quiet[1]]) < 12
    assert reads[at - 2, quiet[0], quiet[1]] < 8100 - 60


@pytest.mark.parametrize(
    ("change", "spread"),
    [
        ({"row_noise_e": 6.0}, "row"),
        ({"drift_e": 6.0}, "plane"),
        ({"ipc": 0.1}, "neighbours"),
        ({"flicker": 0.3}, "time"),
    ],
)
def test_each_disturbance_shows_where_it_should(change: dict[str, float], spread: str) -> None:
    flux = np.full((96, 96), 20.0, np.float32)
    reads, _ = simulate(flux, read_noise_e=1.0, **change)
    steps = np.diff(reads, axis=0) - 20.0
    if spread == "row":
        assert steps.mean(axis=2).var() == pytest.approx(2 * 36, rel=0.15)
    elif spread == "plane":
        assert steps.mean(axis=(1, 2)).std() == pytest.approx(6.0, rel=0.3)
    elif spread == "neighbours":
        neighbours = np.mean(steps[:, :, 1:] * steps[:, :, :-1]) / steps.var()
        # charge kernel (0.1, 0.6, 0.1, ...): overlap 2 * 0.6 * 0.1, norm 0.36 + 4 * 0.01; plus white read noise
        assert neighbours == pytest.approx(0.12 * 20 / (0.4 * 20 + 2.17), abs=0.03)
    else:
        assert steps.mean(axis=(1, 2)).std() == pytest.approx(6.0, rel=0.35)


def test_numbers_are_clipped_never_wrapped() -> None:
    reads, truth = simulate(np.full((8, 8), 9000.0, np.float32), full_well_e=1e6, bits=12)
    assert reads.max() == 4095
    assert np.all(np.diff(reads, axis=0) >= -60)
    assert np.all(truth.saturated == 1)
    low, _ = simulate(np.zeros((8, 8), np.float32), offset_adu=0.0, read_noise_e=5.0)
    assert low.min() == 0


def test_one_seed_is_one_exposure_and_streaming_is_the_same() -> None:
    first, _ = simulate(FLAT[:16, :16], seed=3)
    again, _ = simulate(FLAT[:16, :16], seed=3)
    other, _ = simulate(FLAT[:16, :16], seed=4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    streamed = list(Simulation(FLAT[:16, :16], IDEAL, np.random.default_rng(3)).reads())
    np.testing.assert_array_equal(first, streamed)


def test_a_scene_is_scaled_by_percentiles() -> None:
    image = np.arange(10000, dtype=np.float32).reshape(100, 100)
    scene, words = scene_from_image(image, 4.0, background_e=0.5)
    assert np.percentile(scene, 99.9) == pytest.approx(4.5, rel=1e-3)
    assert scene.min() == 0.5
    assert "99.9 %" in words
    flat, words = scene_from_image(np.full((8, 8), 7), 4.0)
    assert np.all(flat == 4.0)
    assert "constant" in words


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scene_from_image(np.zeros((4, 4)), 0.0), "flux must be .* above 0; got 0"),
        (lambda: scene_from_image(np.zeros((4, 4)), 1.0, background_e=-1), "background must be 0 or more"),
        (lambda: scene_from_image(np.full((4, 4), np.nan), 1.0), "16 pixels of the image are NaN"),
        (lambda: scene_from_image(np.zeros((2, 4, 4)), 1.0), "one plane"),
        (lambda: Simulation(-FLAT, IDEAL, np.random.default_rng(0)), "0 or more electrons"),
        (lambda: replace(IDEAL, reads=1), "reads must be 2 or more; got 1"),
        (lambda: replace(IDEAL, gain_e_per_adu=0.0), "gain_e_per_adu must be above 0"),
        (lambda: replace(IDEAL, read_noise_e=-1.0), "read_noise_e must not be negative"),
        (lambda: replace(IDEAL, bleach=1.0), "bleach is a part of one"),
        (lambda: replace(IDEAL, ipc=0.3), "ipc goes to each of four neighbours"),
        (lambda: replace(IDEAL, bits=20), "bits must be 8 to 16"),
        (lambda: replace(IDEAL, dark_e=float("nan")), "dark_e must be a finite number"),
        (lambda: replace(IDEAL, offset_adu=70000.0), "offset_adu 70000 lies beyond"),
    ],
)
def test_impossible_cameras_and_scenes_are_refused(make: Any, message: str) -> None:
    with pytest.raises((InputError, OptionError), match=message):
        make()


def test_gain_and_read_noise_come_out_of_one_ramp() -> None:
    rng = np.random.default_rng(0)
    flux = np.exp(rng.uniform(np.log(0.5), np.log(20), (128, 128))).astype(np.float32)
    settings = replace(IDEAL, reads=100, gain_e_per_adu=0.46, ktc_e=25.0, read_noise_spread=0.25, drift_e=0.3)
    reads, truth = simulate_exposure(flux, settings, rng)
    measured = calibrate(reads)
    assert measured.gain_e_per_adu == pytest.approx(0.46, rel=0.03)
    assert measured.gain_error is not None
    assert abs(measured.gain_e_per_adu - 0.46) < 4 * measured.gain_error
    rms = float(np.sqrt(np.mean(truth.read_noise**2)))
    assert measured.read_noise_e == pytest.approx(rms, rel=0.03)


def test_saturation_is_found_in_the_ramps_and_cut_without_being_told() -> None:
    flux = np.geomspace(5, 900, 64 * 64).astype(np.float32).reshape(64, 64)
    reads, truth = simulate(flux, full_well_e=12000.0, read_noise_e=4.0, ktc_e=20.0)
    level = find_saturation(reads.astype(np.float32))
    assert level == pytest.approx(12100, abs=120)
    assert find_saturation(reads[:10, :32].astype(np.float32)) is None
    known = complete_camera(reads.astype(np.uint16), Camera())
    assert known.gain_known
    assert known.saturation_adu == pytest.approx(12100, abs=120)
    assert any("stop rising" in note for note in known.notes)
    saturated = truth.saturated > 0
    fit = fit_ramp(reads, Camera(gain_e_per_adu=1.0, read_noise_e=4.0, full_well_e=12000.0, black_adu=100.0))
    assert np.all(fit.flags[saturated] & SATURATED)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (np.full((8, 32, 32), 7, np.uint16), r"all reads are equal \(value 7\)"),
        (np.arange(3 * 1024, dtype=np.uint16).reshape(3, 32, 32), "cannot be measured from 3 reads"),
        (np.full((1, 32, 32), 7, np.uint16), "this exposure has 1 read"),
        (np.where(np.arange(8)[:, None, None] == 3, np.nan, np.ones((8, 32, 32)) * np.arange(8)[:, None, None]),
         "only 0 of 1024 pixels"),
    ],
)  # fmt: skip
def test_ramps_that_tell_no_noise_are_refused(reads: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        calibrate(reads)


def test_four_reads_tell_the_read_noise_but_not_the_gain() -> None:
    reads, _ = simulate(np.full((128, 128), 0.2, np.float32), reads=4, read_noise_e=14.0)
    known = complete_camera(reads, Camera())
    assert not known.gain_known
    assert known.camera.gain_e_per_adu == 1.0
    assert known.camera.read_noise_e == pytest.approx(14.0, rel=0.02)
    assert "taken as 1 e-/ADU (4 reads are too few to measure it, 6 are needed)" in known.notes[0]
