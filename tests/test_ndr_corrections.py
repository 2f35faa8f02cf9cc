"""Around the fit: noise maps, dark current, reference pixels, linearity, read times, dose time, 1/f noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from quietframe.camera import Camera
from quietframe.errors import QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr import weights
from quietframe.ndr.corrections import Corrected, Linearity, Reference
from quietframe.ndr.correlated_noise import correlated_variance, structure_function
from quietframe.ndr.dose import dose_pattern
from quietframe.ndr.fit import JUMP, NOT_FINITE, SATURATED, UNUSABLE, FitTuning, fit_ramp
from quietframe.ndr.fit_uneven import fit_uneven
from quietframe.ndr.reads import as_reads
from quietframe.ndr.uneven import ReadPattern
from quietframe.verbs.ndr import CameraOptions, FitOptions, fit

KNOWN = CameraOptions(gain_e_per_adu=1.0, read_noise_e=5.0)
SHAPE = (64, 64)


def scene(seed: int = 0, low: float = 0.2, high: float = 6.0) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(SHAPE), 4)
    return np.asarray(low + (high - low) * (smooth - smooth.min()) / np.ptp(smooth))


def ramps(flux: Any, n: int, noise: Any, seed: int, profile: Any = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    light = np.broadcast_to(flux, SHAPE) * np.broadcast_to(profile, (n,))[:, None, None]
    return np.cumsum(rng.poisson(light), axis=0) + noise * rng.standard_normal((n, *SHAPE)) + 500.0


def save(path: Path, reads: np.ndarray, **info: str) -> Path:
    stored = np.rint(reads).astype(np.uint16) if reads.max() < 65000 else reads
    write_image(path, Image(stored, "TYX", {}, 0.1, info), dtype=stored.dtype.name)
    return path


def test_with_a_noise_map_every_pixel_is_fitted_with_its_own_noise() -> None:
    noise = 5.0 * np.exp(0.5 * np.random.default_rng(3).standard_normal(SHAPE))
    reads = ramps(0.5, 40, noise, 4)
    found = fit_ramp(reads, Camera(1.0, 5.0), tuning=FitTuning(5.0, flux_guess=0.5, noise_map=noise))
    # The bank's steps in flux change the variance by far less than 0.1 %, see bank.py.
    for place in [(0, 0), (10, 40), (63, 63)]:
        if not found.flags[place]:
            assert found.variance[place] == pytest.approx(1 / weights.information(40, 0.5, noise[place]), rel=2e-3)
    z = (found.rate - 0.5) / np.sqrt(found.variance)
    assert z.std() == pytest.approx(1.0, abs=0.035)  # 4096 pixels: 1.1 % per sigma
    assert found.chi2.mean() == pytest.approx(38, rel=0.02)
    assert np.mean(found.flags & JUMP > 0) < 2e-3
    plain = fit_ramp(reads, Camera(1.0, 5.0), tuning=FitTuning(None, flux_guess=0.5))
    assert np.std((plain.rate - 0.5) / np.sqrt(plain.variance)) > 1.05


@pytest.mark.parametrize("bad", [np.ones((3, 3)), np.zeros(SHAPE), np.full(SHAPE, np.nan)])
def test_noise_maps_that_do_not_fit_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(QuietframeError, match="read-noise map"):
        fit_ramp(ramps(1.0, 6, 5.0, 0), Camera(1.0, 5.0), tuning=FitTuning(noise_map=bad))


def test_the_general_solution_equals_the_closed_form_on_equal_spacing() -> None:
    reads = ramps(scene(), 30, 5.0, 5)
    reads[18:, 3, 3] += 500.0
    reads[25:, 7, 7] = 60000.0
    tuning = FitTuning(flux_guess=scene(), saturation_adu=50000.0)
    one = fit_ramp(reads, Camera(1.0, 5.0), tuning=tuning)
    two = fit_uneven(reads, Camera(1.0, 5.0), ReadPattern.of_times(np.arange(30)), tuning=tuning)
    np.testing.assert_array_equal(one.flags, two.flags)
    assert one.flags[3, 3] == JUMP
    assert one.flags[7, 7] == SATURATED
    np.testing.assert_array_equal(one.n_used, two.n_used)
    whole = one.flags == 0
    # The closed form takes the nearest of 64 fluxes: its variance is at most 0.1 % above the least.
    np.testing.assert_allclose(one.variance[whole], two.variance[whole], rtol=2e-3)
    assert np.abs((one.rate - two.rate) / np.sqrt(two.variance))[whole].max() < 0.15
    assert abs(one.rate[3, 3] - two.rate[3, 3]) < 0.3 * np.sqrt(two.variance[3, 3])


def test_uneven_times_are_fitted_without_bias_and_with_honest_errors() -> None:
    times = np.cumsum(np.random.default_rng(6).uniform(0.3, 3.0, 25))
    reads = ramps(2.0, 25, 5.0, 7, np.diff(times, prepend=0.0))
    reads[5, :8] = np.nan
    found = fit_uneven(reads, Camera(1.0, 5.0), ReadPattern.of_times(times))
    good = np.isin(found.flags, (0, NOT_FINITE))
    assert found.rate[good].mean() == pytest.approx(2.0, abs=4 * np.sqrt(found.variance.mean() / good.sum()) + 0.004)
    z = (found.rate - 2.0)[good] / np.sqrt(found.variance[good])
    assert z.std() == pytest.approx(1.0, abs=0.04)
    assert (found.flags[:8] & NOT_FINITE).all()
    assert np.all(found.n_used[:8][good[:8]] == 24)


def test_times_come_from_the_file_or_from_keys(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(6).uniform(0.03, 0.3, 20))
    reads = ramps(scene(), 20, 5.0, 7, np.diff(times, prepend=0.0) / 0.1)
    listed = " ".join(f"{time:.6f}" for time in times)
    path = save(tmp_path / "a.tif", reads, **{"ndr.t_reads_s": listed, "ndr.t_subframe_s": "0.1"})
    answer = fit(path, tmp_path / "rate.tif", camera=KNOWN, unit="rate")
    assert any("not equally spaced" in note for note in answer["notes"])
    keyed = read_image(tmp_path / "rate.tif").array
    assert keyed.mean() == pytest.approx(10 * scene().mean(), rel=0.01)
    plain = save(tmp_path / "b.tif", reads)
    (tmp_path / "times.txt").write_text("\n".join(f"{time:.6f}" for time in times))
    fit(plain, tmp_path / "two.tif", camera=KNOWN, options=FitOptions(times=tmp_path / "times.txt"))
    np.testing.assert_allclose(read_image(tmp_path / "two.tif").array, keyed, rtol=1e-5, atol=1e-4)


def test_dark_current_is_taken_off_and_its_noise_stays(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", ramps(3.0, 30, 5.0, 8))
    plain, less, same = (tmp_path / f"{name}.tif" for name in ("plain", "less", "same"))
    fit(path, plain, variance=tmp_path / "v1.tif", camera=KNOWN)
    fit(path, less, variance=tmp_path / "v2.tif", camera=replace(KNOWN, dark_e_per_s=12.0))
    np.testing.assert_allclose(read_image(plain).array - read_image(less).array, 12.0, atol=1e-4)
    np.testing.assert_array_equal(read_image(tmp_path / "v1.tif").array, read_image(tmp_path / "v2.tif").array)
    fit(path, same, camera=KNOWN, options=FitOptions(dark=plain))
    np.testing.assert_allclose(read_image(same).array, 0.0, atol=1e-4)


@pytest.mark.parametrize("terms", [(0.03, 0.0), (0.1, 0.02), (-0.05, 0.0)])
def test_linearity_is_inverted_exactly_and_signed(terms: tuple[float, float]) -> None:
    fill = np.concatenate([np.linspace(-0.1, 1.0, 500)])
    shown = fill * (1 - terms[0] * fill - terms[1] * fill**2)
    curve = Linearity.of(terms, Camera(0.5, 5.0, full_well_e=20000.0, black_adu=100.0))
    adu = 20000.0 * shown / 0.5 + 100
    np.testing.assert_allclose((curve.invert(adu) - 100) * 0.5 / 20000.0, fill, atol=1e-9)


def test_linearity_takes_the_bias_of_bright_pixels_away(tmp_path: Path) -> None:
    charge = np.cumsum(np.random.default_rng(1).poisson(250.0, (80, *SHAPE)), axis=0).astype(float)
    fill = charge / 30000.0
    reads = charge * (1 - 0.1 * fill) + 5.0 * np.random.default_rng(2).standard_normal(charge.shape) + 100.0
    path = save(tmp_path / "a.tif", reads)
    known = replace(KNOWN, full_well_e=30000.0, black_adu=100.0)
    fit(path, tmp_path / "no.tif", camera=known, unit="electrons", jump_sigma=0)
    fit(path, tmp_path / "yes.tif", camera=known, unit="electrons", options=FitOptions(linearity="0.1"))
    biased, right = (read_image(tmp_path / name).array.mean() / 250.0 - 1 for name in ("no.tif", "yes.tif"))
    assert biased < -0.04
    assert abs(right) < 0.0005  # 4096 pixels x 80 reads: 0.01 %


@pytest.mark.parametrize(("box", "left"), [(Reference(0, 0, 8, 64), 0.0), (Reference(0, 0, 64, 4), 3.0)])
def test_reference_pixels_take_common_and_row_noise_off(box: Reference, left: float) -> None:
    rng = np.random.default_rng(1)
    common, rows = 20.0 * rng.standard_normal((10, 1, 1)), 3.0 * rng.standard_normal((10, 64, 1))
    reads = np.zeros((10, *SHAPE)) + 100.0 * np.arange(10)[:, None, None]
    reads[:, :, :8] = reads[:, :4] = 0.0
    clean = reads.copy()
    corrected = Corrected(as_reads(reads + common + rows), np.inf, box, None).as_reads()
    away = np.stack(list(corrected.planes())) - clean
    away -= away[0]
    # Spanning all rows the reference takes everything off; else the noise of single rows stays, in two reads.
    assert away.std() == pytest.approx(left * np.sqrt(2), abs=0.8 if left else 1e-3)
    np.testing.assert_allclose(corrected.rows(10, 20)[3], corrected.plane(3)[10:20])


def test_saturated_reads_stay_saturated_through_the_corrections() -> None:
    reads = ramps(1.0, 10, 5.0, 0)
    reads[6:, 20, 20] = 60000.0
    corrected = Corrected(as_reads(reads), 50000.0, Reference(0, 0, 4, 64), None).as_reads()
    found = fit_ramp(corrected, Camera(1.0, 5.0), tuning=FitTuning(saturation_adu=1e20))
    assert found.flags[20, 20] & SATURATED
    assert found.n_used[20, 20] == 6
    assert np.isfinite(found.rate).all()


@pytest.mark.parametrize("loss", [0.3, 0.6])
def test_dose_time_takes_the_bias_of_fading_light_away(loss: float) -> None:
    n, flux = 100, scene(1, 0.3, 8.0)
    profile = np.exp(np.log(1 - loss) * np.arange(n) / (n - 1))
    truth = flux * profile[1:].mean()
    bias, plain = [], []
    for seed in range(4):
        reads = ramps(flux, n, 5.0, seed, profile)
        found = fit_uneven(reads, Camera(1.0, 5.0), dose_pattern(reads), tuning=FitTuning(jump_sigma=None))
        bias.append(np.sum(found.rate - truth) / truth.sum())
        clock = fit_ramp(reads, Camera(1.0, 5.0), tuning=FitTuning(jump_sigma=None))
        plain.append(np.sum(clock.rate - truth) / truth.sum())
    # 4 x 4096 pixels of 4 e-/sub-frame and 100 reads: the mean is known to 0.04 %.
    assert abs(np.mean(bias)) < 0.0015
    if loss > 0.5:
        assert np.mean(plain) < np.mean(bias) - 0.001


def test_correlated_read_noise_is_in_the_variance(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    n = 100

    def noise() -> np.ndarray:
        """Make white noise of 5 e- and a slow part with a memory of 20 reads, 5 e-."""
        slow = np.zeros((n, *SHAPE))
        slow[0] = rng.standard_normal(SHAPE)
        for i in range(1, n):
            slow[i] = 0.95 * slow[i - 1] + np.sqrt(1 - 0.95**2) * rng.standard_normal(SHAPE)
        return 5.0 * slow + 5.0 * rng.standard_normal((n, *SHAPE)) + 500.0

    lags = np.arange(n)
    truth = 25.0 * (1 - 0.95**lags) + 25.0 * (lags > 0)
    measured = structure_function(noise(), 1.0, n)
    np.testing.assert_allclose(measured[1:40], truth[1:40], rtol=0.05)
    row = weights.of_reads(weights.least_squares(n))[None]
    assert correlated_variance(row, np.where(lags > 0, 25.0, 0.0))[0] == pytest.approx(25.0 * np.sum(row**2))
    dark = save(tmp_path / "dark.tif", noise() + 300)
    path = save(tmp_path / "a.tif", np.cumsum(rng.poisson(0.1, (n, *SHAPE)), axis=0) + noise())
    answers = []
    for name, options in (("white", FitOptions()), ("coloured", FitOptions(dark_ramp=dark))):
        answer = fit(path, tmp_path / f"{name}.tif", variance=tmp_path / f"{name}_v.tif", unit="electrons",
                     camera=KNOWN, options=options, jump_sigma=0)  # fmt: skip
        rate, variance = (read_image(tmp_path / f"{name}{end}.tif").array for end in ("", "_v"))
        answers.append(np.std((rate - 0.1) / np.sqrt(variance[0])))
    assert answers[0] > 2.0
    assert answers[1] == pytest.approx(1.0, abs=0.07)
    assert any("correlated read noise from dark.tif" in note for note in answer["notes"])


def test_quality_planes_are_written(tmp_path: Path) -> None:
    reads = ramps(3.0, 20, 5.0, 8)
    reads[12:, 5, 5] = 65000
    path = save(tmp_path / "a.tif", np.minimum(reads, 65535).astype(np.uint16))
    options = FitOptions(chi2=tmp_path / "chi2.tif", n_used=tmp_path / "n.tif")
    known = replace(KNOWN, full_well_e=60000.0)
    answer = fit(path, tmp_path / "rate.tif", flags=tmp_path / "flags.tif", camera=known, options=options)
    assert len(answer["out"]) == 4
    chi2, used = read_image(tmp_path / "chi2.tif").array, read_image(tmp_path / "n.tif").array
    assert np.median(chi2) == pytest.approx(18, rel=0.05)
    assert used[5, 5] == 12
    assert used[0, 0] == 20
    assert read_image(tmp_path / "flags.tif").array[5, 5] == SATURATED


@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_ramps_that_cannot_be_fitted_are_flagged(kind: str) -> None:
    reads = ramps(3.0, 8, 5.0, 8)
    reads[:, 0, 0] = 60000.0
    reads[1:, 0, 1] = np.nan
    reads[:, 0, 2] = reads[0, 0, 2]
    reads[:, 0, 3] -= 300.0 * np.arange(8)
    tuning = FitTuning(saturation_adu=50000.0)
    if kind == "even":
        found = fit_ramp(reads, Camera(1.0, 5.0), tuning=tuning)
    else:
        found = fit_uneven(reads, Camera(1.0, 5.0), ReadPattern.of_times(np.arange(8) ** 1.1), tuning=tuning)
    assert found.flags[0, 0] == SATURATED | UNUSABLE
    assert found.flags[0, 1] == NOT_FINITE | UNUSABLE
    assert np.isnan(found.rate[0, :2]).all()
    assert abs(found.rate[0, 2]) < 1e-3
    assert found.flags[0, 3] & 16
    assert np.isfinite(found.rate[1:]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": "1\n2\n3\n"}, "3 read times for 12 reads"),
        ({"times": "1\ntwo\n"}, "times must be numbers"),
        ({"times": "\n".join(str(12 - i) for i in range(12))}, "must ascend"),
        ({"reference": "0,0,4"}, "x,y,width,height in whole pixels"),
        ({"reference": "60,0,10,64"}, "does not lie inside the image of 64 x 64"),
        ({"reference": "0,0,0,64"}, "does not lie inside"),
        ({"linearity": "0.1"}, "needs full_well_e, black_adu"),
        ({"linearity": "a"}, "takes numbers with commas"),
        ({"linearity": "0.1,0.2,0.3"}, "one or two numbers"),
        ({"dark_ramp": "self", "dose_time": True}, "equally spaced reads only"),
    ],
)
def test_bad_extras_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "a.tif", ramps(3.0, 12, 5.0, 8))
    if "times" in options:
        (tmp_path / "times.txt").write_text(options["times"])
        options = {"times": tmp_path / "times.txt"}
    if options.get("dark_ramp"):
        options = {**options, "dark_ramp": path}
    with pytest.raises(QuietframeError, match=message):
        fit(path, tmp_path / "rate.tif", camera=KNOWN, options=FitOptions(**options))
    assert not (tmp_path / "rate.tif").exists()


def test_other_methods_need_equally_spaced_reads(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", ramps(scene(), 12, 5.0, 8))
    with pytest.raises(QuietframeError, match="by method optimal only; got lsq"):
        fit(path, tmp_path / "rate.tif", camera=KNOWN, method="lsq", options=FitOptions(dose_time=True))
    with pytest.raises(QuietframeError, match="lists 3 times for 12 reads"):
        fit(save(tmp_path / "b.tif", ramps(1.0, 12, 5.0, 8), **{"ndr.t_reads_s": "1 2 3"}), tmp_path / "rate.tif")
