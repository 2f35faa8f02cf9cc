"""`ndr subtract --fit-window`: less noise from the same reads, with the right variance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.errors import QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.fit_window import fit_windows, snr_gain
from quietframe.ndr.subtract import difference_windows
from quietframe.verbs.ndr import CameraOptions, subtract
from quietframe.verbs.ndr_split import split

CASES = ((1, 0.2), (2, 0.2), (5, 0.2), (10, 0.2), (2, 2), (5, 2), (10, 2), (5, 20))
TABLE = {
    5: (1.10, 1.15, 1.18, 1.18, 1.06, 1.14, 1.17, 1.04),
    20: (1.11, 1.35, 1.75, 1.90, 1.04, 1.25, 1.57, 1.02),
    50: (1.06, 1.23, 1.87, 2.47, 1.02, 1.15, 1.49, 1.01),
    250: (1.01, 1.06, 1.35, 2.03, 1.00, 1.04, 1.15, 1.00),
}
"""k -> gain in SNR over read[k] - read[0] for (read noise, flux) in `CASES`: ndr.md section 2, table [S:window]."""


def ramp(flux: float, noise: float, n_reads: int, seed: int, side: int = 90) -> np.ndarray:
    rng = np.random.default_rng(seed)
    electrons = np.cumsum(rng.poisson(flux, (n_reads, side, side)), axis=0)
    return electrons + rng.normal(0, noise, electrons.shape) + rng.normal(0, 25, (side, side))


@pytest.mark.parametrize("difference", TABLE)
def test_the_predicted_gain_is_that_of_the_table(difference: int) -> None:
    gains = [snr_gain(difference, flux, noise) for noise, flux in CASES]
    np.testing.assert_allclose(gains, TABLE[difference], atol=0.0051)  # two decimals are printed


@pytest.mark.parametrize(("difference", "case"), [(5, 2), (20, 2), (20, 3), (20, 5), (50, 3)])
def test_the_measured_gain_is_that_of_the_table(difference: int, case: int) -> None:
    noise, flux = CASES[case]
    reads = ramp(flux, noise, 2 * difference + 2, seed=case)
    windows = difference_windows(len(reads), difference)
    fitted = list(fit_windows(reads, windows, Camera(1.0, noise)))
    plain = np.stack([reads[b] - reads[a] for a, b in windows])
    errors = np.stack([fit.difference for fit in fitted]) - flux * difference
    gain = plain.std() / errors.std()
    # 16200 values: each standard deviation is known to 0.56 %, their ratio to 0.8 % at most; guessed weights cost 0.5 %
    assert gain == pytest.approx(TABLE[difference][case], rel=0.03)
    predicted = float(np.mean([fit.variance.mean() for fit in fitted]))
    assert errors.var() == pytest.approx(predicted, rel=0.05)
    assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(errors.size) + 0.006 * flux * difference
    # windows with a guard between them stay independent: 8100 pixels, 1.1 % per sigma
    a, b = errors - errors.mean(axis=(1, 2), keepdims=True)
    assert abs(np.mean(a * b) / np.sqrt(np.mean(a * a) * np.mean(b * b))) < 0.045


@pytest.fixture
def exposure(tmp_path: Path) -> Path:
    """Make 44 reads, gain 0.5, read noise 5 e-, 1 e-/sub-frame, 0.1 s."""
    reads = np.rint(ramp(1.0, 5.0, 44, 3, 64) / 0.5 + 500).astype(np.uint16)
    info = {"ndr.gain_e_per_adu": "0.5", "ndr.read_noise_e": "5"}
    return write_image(tmp_path / "s_NDR.tif", Image(reads, "TYX", {}, 0.1, info), dtype="uint16")


@pytest.mark.parametrize(("unit", "factor"), [("adu", 2.0), ("electrons", 1.0), ("rate", 1 / (20 * 0.1))])
def test_fit_window_writes_images_and_variances(exposure: Path, tmp_path: Path, unit: str, factor: float) -> None:
    out, variance = tmp_path / "d.tif", tmp_path / "v.tif"
    result = subtract(exposure, out, difference=20, fit_window=True, variance=variance, unit=unit)
    image, errors = read_image(out), read_image(variance)
    assert image.array.shape == errors.array.shape == (2, 64, 64)
    assert image.array.mean() == pytest.approx(20 * factor, rel=0.03)  # sigma 5.4 e- / 90
    assert image.array.astype(np.float64).var() == pytest.approx(errors.array.mean(), rel=0.08)  # 8192: 1.6 % per sigma
    assert image.info["quietframe.fit_window"] == "true"
    assert image.info["ndr.difference"] == "20"
    assert errors.labels == ("variance of reads 1-21", "variance of reads 22-42")
    assert result["median_sigma"] == pytest.approx(np.sqrt(errors.array.mean()), rel=0.02)
    gain = result["median_sigma_two_reads"] / result["median_sigma"]
    assert gain == pytest.approx(snr_gain(20, 1.0, 5.0), rel=0.04)
    assert any("the fit of its 21 reads" in line for line in result["summary"])


def test_a_window_of_two_reads_is_their_difference(exposure: Path, tmp_path: Path) -> None:
    subtract(exposure, tmp_path / "a.tif", difference=1)
    subtract(exposure, tmp_path / "b.tif", difference=1, fit_window=True)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").array, read_image(tmp_path / "b.tif").array, atol=1e-3)


def test_saturated_pixels_are_nan_and_not_zero(tmp_path: Path) -> None:
    reads = np.rint(ramp(2.0, 3.0, 42, 4, 32) + 500)
    reads[:, 4, 4] = np.minimum(500 + 2000.0 * np.arange(42), 30000)  # full from read 16 on
    path = write_image(tmp_path / "s.tif", Image(reads.astype(np.uint16), "TYX"), dtype="uint16")
    camera = CameraOptions(gain_e_per_adu=1.0, read_noise_e=3.0, full_well_e=29500.0, black_adu=500.0)
    subtract(path, tmp_path / "d.tif", difference=20, fit_window=True, camera=camera)
    images = read_image(tmp_path / "d.tif").array
    assert images[0, 4, 4] == pytest.approx(40000, rel=0.01)  # from the reads below saturation
    assert np.isnan(images[1, 4, 4])
    assert np.isfinite(np.delete(images.reshape(2, -1), 4 * 32 + 4, axis=1)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"difference": 44}, "the largest difference possible here is 43"),
        ({"variance": "v.tif", "fit_window": False}, "--variance goes with --fit-window"),
        ({"variance": "no/v.tif"}, "make it first"),
        ({"variance": "v.jpg"}, "jpg"),
        ({"unit": "volts"}, "unknown unit"),
        ({"camera": CameraOptions(read_noise_e=-1.0)}, "read_noise_e must not be negative"),
    ],
)
def test_fit_window_refuses_bad_input(exposure: Path, change: dict[str, Any], message: str) -> None:
    options = {"difference": 20, "fit_window": True, **change}
    if "variance" in options:
        options["variance"] = exposure.parent / options["variance"]
    with pytest.raises(QuietframeError, match=message):
        subtract(exposure, exposure.with_name("d.tif"), **options)
    assert [path.name for path in exposure.parent.iterdir()] == [exposure.name]


def test_the_command_line_fits_windows(quietframe: Callable[..., Any], exposure: Path) -> None:
    done = quietframe("ndr", "subtract", exposure, exposure.with_name("d.tif"), "--difference", 20, "--fit-window")
    assert done.returncode == 0, done.stderr
    assert "SNR x 1.4" in done.stdout


def test_a_gain_that_is_only_assumed_is_not_written_as_known(tmp_path: Path) -> None:
    reads = np.rint(ramp(0.05, 12.0, 16, 9, 64) + 500).astype(np.uint16)  # too dark to tell its gain
    path = write_image(tmp_path / "s.tif", Image(reads, "TYX"), dtype="uint16")
    subtract(path, tmp_path / "d.tif", difference=5, fit_window=True)
    split(path, tmp_path / "a.tif", tmp_path / "b.tif")
    split(path, tmp_path / "p.tif", tmp_path / "q.tif", pairs=3)
    for name in "dabpq":
        info = read_image(tmp_path / f"{name}.tif").info
        assert "ndr.gain_e_per_adu" not in info
        assert info["ndr.unit"] == "adu"
    with pytest.raises(QuietframeError, match="unit electrons needs the gain"):
        subtract(path, tmp_path / "e.tif", difference=5, fit_window=True, unit="electrons")
