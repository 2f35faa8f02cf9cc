"""Gain, read noise and its map from one ramp, and the checks that say when the gain is unsafe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from quietframe.errors import InputError, OutputError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.calibrate import Seen, calibrate, look, neighbours
from quietframe.ndr.noise_spectrum import Common, Separation, read_noise_power
from quietframe.ndr.photon_transfer import examine, read_noise_map
from quietframe.verbs.ndr import CameraOptions
from quietframe.verbs.ndr import calibrate as verb

GAIN = 0.46
SHAPE = (128, 128)


def make(n: int, seed: int, *, light: Any = 1.0, camera: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Make a ramp of flux 0.5 ... 20 e- with read noise of 3 e-, lognormal 0.25; return reads and the read noise."""
    rng = np.random.default_rng(seed)
    scene = ndimage.gaussian_filter(rng.random(SHAPE), 3)
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    noise = 3.0 * np.exp(0.25 * rng.standard_normal(SHAPE))
    profile = np.broadcast_to(light, (n,))[:, None, None]
    charge = np.cumsum(rng.poisson((0.5 + 19.5 * scene**2) * profile), axis=0, dtype=np.float32)
    seen = charge if camera is None else camera(charge)
    reads = seen + noise * rng.standard_normal(seen.shape, dtype=np.float32) + 25.0 * rng.standard_normal(SHAPE) + 300
    return np.rint(reads / GAIN).astype(np.uint16), noise


def test_the_power_of_read_noise_is_exact(rng: np.random.Generator) -> None:
    from scipy import fft

    n = 13
    covariance = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    waves = fft.dct(np.eye(n), type=2, norm="ortho", axis=0)
    np.testing.assert_allclose(np.diag(waves @ covariance @ waves.T)[1:], read_noise_power(n), rtol=1e-12)


@pytest.mark.parametrize(("shot", "read"), [(1.0, 0.0), (0.3, 9.0), (0.0, 1.0)])
def test_separation_is_unbiased_whatever_mixture_it_is_made_for(shot: float, read: float) -> None:
    weights = Separation.of(20, shot, read)
    spectrum = 7.0 + 2.5 * read_noise_power(20)
    assert weights.shot @ spectrum == pytest.approx(7.0)
    assert weights.read @ spectrum == pytest.approx(2.5)
    assert weights.read_alone @ (spectrum - 7.0) == pytest.approx(2.5)


def test_gain_of_many_ramps_of_100_reads() -> None:
    errors, sigmas = [], []
    for seed in range(8):
        reads, _ = make(100, seed)
        found = calibrate(reads)
        assert found.gain_e_per_adu is not None
        assert found.gain_error is not None
        errors.append(found.gain_e_per_adu / GAIN - 1.0)
        sigmas.append(found.gain_error / GAIN)
    # The rms of 8 errors of 0.3 % lies below 0.6 % by far (chi2 with 8 degrees of freedom would have to exceed 30).
    assert np.sqrt(np.mean(np.square(errors))) < 0.006
    assert np.mean(sigmas) < 0.006
    # The stated error is honest: 8 values tell their scatter to a factor of 2.
    assert 0.4 < np.sqrt(np.mean(np.square(errors))) / np.mean(sigmas) < 1.8


@pytest.mark.parametrize(("n", "least"), [(100, 0.6), pytest.param(1000, 0.93, marks=pytest.mark.slow)])
def test_the_read_noise_map_follows_the_truth(n: int, least: float) -> None:
    reads, noise = make(n, 3)
    examined = examine(reads)
    gain = examined.calibration.gain_e_per_adu
    assert gain == pytest.approx(GAIN, rel={100: 0.015, 1000: 0.005}[n])  # four errors
    found = read_noise_map(reads, examined, gain)
    assert found.filled == 0
    assert np.corrcoef(found.noise_adu.ravel(), noise.ravel())[0, 1] >= least
    assert np.median(found.noise_adu) * GAIN == pytest.approx(np.median(noise), rel=0.02)
    assert examined.warnings == ()
    assert examined.classic_gain is not None
    assert abs(examined.classic_gain.value / GAIN - 1.0) < 4 * examined.classic_gain.error / GAIN


def test_fading_light_does_not_change_the_gain() -> None:
    reads, _ = make(100, 5, light=np.exp(np.log(0.5) * np.arange(100) / 100))
    examined = examine(reads)
    found = examined.calibration
    assert found.gain_error is not None
    assert abs(found.gain_e_per_adu - GAIN) < 4 * found.gain_error
    assert examined.warnings == ()


def test_a_camera_that_is_not_linear_is_named() -> None:
    reads, _ = make(100, 6, camera=lambda charge: charge * (1 - 0.1 * charge / 3000))
    examined = examine(reads)
    assert examined.curvature.value < -0.03
    assert len(examined.warnings) == 1
    assert "the camera is not linear" in examined.warnings[0]


def test_coupled_pixels_are_named_with_what_they_do_to_the_gain() -> None:
    kernel = np.array([[[0, 0.01, 0], [0.01, 0.96, 0.01], [0, 0.01, 0]]], np.float32)
    reads, _ = make(200, 7, camera=lambda charge: ndimage.convolve(charge, kernel))
    examined = examine(reads)
    assert examined.coupling is not None
    assert abs(examined.coupling.value - 0.01) < 4 * examined.coupling.error
    assert "neighbouring pixels share their shot noise" in examined.warnings[0]
    # 1 / ((1 - 4 a)^2 + 4 a^2) = 1.085 for a = 0.01
    found = examined.calibration
    assert found.gain_e_per_adu == pytest.approx(1.085 * GAIN, abs=4 * (found.gain_error or 0.0))


def save(path: Path, reads: np.ndarray, **info: str) -> Path:
    write_image(path, Image(reads, "TYX", {"Y": 0.2, "X": 0.2}, 0.1, info), dtype="uint16")
    return path


def test_the_verb_answers_with_errors_and_writes_the_map(tmp_path: Path) -> None:
    reads, _ = make(60, 8)
    reads[30:, 5, 5] = 65535
    path, out = save(tmp_path / "a.tif", reads), tmp_path / "map.tif"
    answer = verb(path, read_noise_map=out)
    assert abs(answer["gain_e_per_adu"] - GAIN) < 4 * answer["gain_error"]
    assert answer["read_noise_e"] == pytest.approx(3.2, rel=0.03)  # rms of the lognormal: 3 exp(0.25^2)
    assert 0 < answer["read_noise_error_e"] < 0.1
    assert any("1 pixels of the map have no whole ramp" in note for note in answer["notes"])
    stored = read_image(out)
    assert stored.array.dtype == np.float32
    assert stored.info["ndr.unit"] == "electrons"
    assert stored.info["quietframe.command"] == "ndr calibrate"
    assert stored.pixel_size_um == pytest.approx({"Y": 0.2, "X": 0.2})
    assert np.median(stored.array) == pytest.approx(3.0, rel=0.05)
    assert stored.array[5, 5] == pytest.approx(answer["read_noise_e"], rel=1e-4)
    with pytest.raises(OutputError, match="overwrite"):
        verb(path, read_noise_map=out)


def test_a_dark_ramp_tells_the_read_noise_in_adu_only(tmp_path: Path, rng: np.random.Generator) -> None:
    reads = np.rint(200 + 6.0 * rng.standard_normal((40, 64, 64))).astype(np.uint16)
    out = tmp_path / "map.tif"
    answer = verb(save(tmp_path / "dark.tif", reads), read_noise_map=out)
    assert answer["gain_e_per_adu"] is None
    assert answer["read_noise_e"] is None
    assert answer["read_noise_adu"] == pytest.approx(6.0, rel=0.01)
    assert "gain unknown: too little light" in answer["summary"][0]
    assert read_image(out).info["ndr.unit"] == "adu"
    known = verb(tmp_path / "dark.tif", camera=CameraOptions(gain_e_per_adu=2.0))
    assert known["read_noise_e"] == pytest.approx(12.0, rel=0.01)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (np.full((8, 32, 32), 7, np.uint16), "all reads are equal"),
        (np.full((3, 32, 32), np.arange(3)[:, None, None], np.uint16), "cannot be measured from 3 reads"),
        (np.full((2, 32, 32), np.arange(2)[:, None, None], np.uint16), "cannot be measured from 2 reads"),
    ],
)
def test_what_tells_nothing_is_refused(tmp_path: Path, reads: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        verb(save(tmp_path / "a.tif", reads))


def test_a_jump_is_not_taken_for_read_noise() -> None:
    reads, noise = make(100, 9)
    hit = np.zeros(SHAPE, bool)
    hit[::16, ::16] = True
    jumping = reads.copy()
    jumping[60:, hit] += 3000
    examined = examine(jumping)
    gain = examined.calibration.gain_e_per_adu
    clean, struck = (read_noise_map(data, examined, gain).noise_adu[hit] for data in (reads, jumping))
    # The jump's own step is left out, one of 99: the noise stays the same within what one step can say (a few %).
    np.testing.assert_allclose(struck, clean, rtol=0.2)
    assert np.median(struck / clean) == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(clean, noise[hit])[0, 1] > 0.5


def test_one_hot_pixel_does_not_take_its_own_noise_for_what_all_share() -> None:
    rng = np.random.default_rng(4)
    light = np.append(np.full(2000, 0.2), 30.0)
    ramps = np.cumsum(rng.poisson(light, (400, light.size)), axis=0).astype(np.float32)
    common = Common.of(ramps, light)
    # the parabola goes through the one pixel that is far from all others: nothing of its noise would be left
    assert common.leverage(light)[-1] > 0.99
    assert common.leverage(light).sum() == pytest.approx(2.0, abs=1e-6)  # two kinds of light: two numbers are fitted
    seen = look(ramps[:, None], np.ones((1, light.size), bool))
    assert not seen.usable[0, -1]
    # shot noise of the others, 2000 ramps of 398 numbers with variance 0.2 (1 + 1 / 0.4): 4 sigma are 1.2 %
    assert seen.spectrum.mean() == pytest.approx(0.2, rel=0.012)


def test_the_weight_of_a_pixel_holds_nothing_of_its_own() -> None:
    plane = np.zeros((9, 9))
    plane[4, 4] = 25.0
    common = Common.of(np.cumsum(np.ones((8, 81), np.float32), axis=0), plane.ravel())
    seen = Seen(np.ones((9, 9), bool), plane.ravel(), plane.ravel(), common, np.ones((6, 81), np.float32))
    around = neighbours(seen).reshape(9, 9)
    assert around[4, 4] == pytest.approx(0.0, abs=1e-12)
    assert around[3, 3] == pytest.approx(25.0 / 24.0)
    assert around[0, 0] == 0.0
