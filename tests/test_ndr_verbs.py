"""`ndr simulate`, `subtract`, `fit`, `measure` on files: numbers, metadata, and what they refuse."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from quietframe.errors import QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.fit import JUMP, SATURATED
from quietframe.ndr.simulated_camera import SimulatedCamera
from quietframe.verbs.ndr import CameraOptions, fit, measure, simulate, subtract


@pytest.fixture
def exposure(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Make 24 reads of 48 x 40, gain 0.5, read noise 4 e-, 0.1 s, calibrated and labelled."""
    flux = np.full((48, 40), 2.0)
    flux[10:30, 10:30] = 40.0
    electrons = np.cumsum(rng.poisson(flux, (24, 48, 40)), axis=0) + rng.normal(0, 4, (24, 48, 40))
    reads = np.rint(electrons / 0.5 + 300).astype(np.uint16)
    info = {"ndr.gain_e_per_adu": "0.5", "ndr.read_noise_e": "4", "microscope": "M1", "ndr.exposure": "E0007"}
    labels = tuple(f"read {i}" for i in range(1, 25))
    path = tmp_path / "s_E0007_NDR.tif"
    write_image(path, Image(reads, "TYX", {"Y": 0.2, "X": 0.2}, 0.1, info, labels), dtype="uint16")
    return path


def reads_of(path: Path) -> np.ndarray:
    return read_image(path).array.astype(np.float64)


@pytest.mark.parametrize(("unit", "factor"), [("adu", 1.0), ("electrons", 0.5), ("rate", 0.5 / (3 * 0.1))])
def test_subtract_writes_signed_differences_with_their_story(exposure: Path, unit: str, factor: float) -> None:
    out = exposure.with_name("s_D003.tif")
    result = subtract(exposure, out, difference=3, first=2, unit=unit)
    image, reads = read_image(out), reads_of(exposure)
    assert image.array.dtype == np.float32
    assert image.axes == "TYX"
    expected = np.stack([reads[a + 3] - reads[a] for a in range(1, 21, 4)]) * factor
    np.testing.assert_allclose(image.array, expected, rtol=1e-6)
    assert image.array.min() < 0
    assert result["windows"] == [[2, 5], [6, 9], [10, 13], [14, 17], [18, 21]]
    assert image.labels[0] == "reads 2-5"
    assert image.pixel_size_um == pytest.approx({"Y": 0.2, "X": 0.2})
    assert image.frame_interval_s == pytest.approx(0.4)
    wanted = {
        "ndr.unit": unit, "ndr.difference": "3", "ndr.spacing": "guarded", "ndr.first": "2", "ndr.count_from": "1",
        "ndr.reads_used": "2-5,6-9,10-13,14-17,18-21", "ndr.exposure": "E0007", "microscope": "M1",
        "quietframe.command": "ndr subtract", "ndr.gain_e_per_adu": "0.5",
    }  # fmt: skip
    assert {key: image.info[key] for key in wanted} == wanted


def test_fit_writes_rate_variance_and_flags(exposure: Path) -> None:
    rate, variance, flags = (exposure.with_name(f"s_{name}.tif") for name in ("RATE", "VAR", "FLAGS"))
    result = fit(exposure, rate, variance=variance, flags=flags)
    image = read_image(rate)
    assert image.axes == "YX"
    assert result["unit_text"] == "e-/px/s"
    assert image.array[12:28, 12:28].mean() == pytest.approx(400.0, rel=0.02)
    assert image.array[32:].mean() == pytest.approx(20.0, rel=0.05)
    assert image.info["ndr.unit"] == "rate"
    assert image.info["ndr.reads_used"] == "1-24"
    assert image.info["quietframe.command"] == "ndr fit"
    assert image.info["microscope"] == "M1"
    total, poisson, reading = read_image(variance).array
    np.testing.assert_allclose(total, poisson + reading, rtol=1e-5)
    z = (image.array[32:] - 20.0) / np.sqrt(total[32:])
    assert z.std() == pytest.approx(1.0, abs=0.12)  # 640 pixels: 2.8 % per sigma
    stored = read_image(flags)
    assert stored.array.dtype == np.uint8
    assert not stored.array.any()
    with pytest.raises(QuietframeError, match="is one read"):
        fit(rate, exposure.with_name("again.tif"))


def test_fit_counts_reads_from_one_and_both_ends_belong(exposure: Path) -> None:
    out = exposure.with_name("r.tif")
    fit(exposure, out, first=3, last=9, method="last-first", unit="electrons", jump_sigma=0)
    reads = reads_of(exposure)
    np.testing.assert_allclose(read_image(out).array, 0.5 * (reads[8] - reads[2]) / 6, rtol=1e-5, atol=1e-5)
    assert read_image(out).info["ndr.reads_used"] == "3-9"


def test_options_win_over_the_camera_file_and_that_over_the_exposure(exposure: Path) -> None:
    stored = exposure.with_name("camera.json")
    stored.write_text(json.dumps({"gain_e_per_adu": 2.0, "t_subframe_s": 0.5}))
    out = exposure.with_name("r.tif")
    result = fit(exposure, out, camera=CameraOptions(camera=stored, t_subframe_s=1.0))
    assert result["camera"] == {"gain_e_per_adu": 2.0, "read_noise_e": 4.0, "t_subframe_s": 1.0}


def test_what_is_missing_is_measured_and_said(tmp_path: Path, rng: np.random.Generator) -> None:
    flux = np.geomspace(1, 60, 96 * 96).reshape(96, 96)
    electrons = np.cumsum(rng.poisson(flux, (50, 96, 96)), axis=0) + rng.normal(0, 4, (50, 96, 96))
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.rint(electrons / 0.5 + 300).astype(np.uint16), metadata={"axes": "TYX"})
    result = fit(path, tmp_path / "r.tif")
    assert result["unit"] == "electrons"
    assert result["camera"]["gain_e_per_adu"] == pytest.approx(0.5, rel=0.05)
    assert result["camera"]["read_noise_e"] == pytest.approx(4.0, rel=0.08)
    assert any("gain measured from the ramp" in line for line in result["summary"])
    assert any("read noise measured from the ramp" in line for line in result["summary"])
    subtract(path, tmp_path / "d.tif", difference=5, unit="electrons")
    assert float(read_image(tmp_path / "d.tif").info["ndr.gain_e_per_adu"]) == pytest.approx(0.5, rel=0.05)


def test_a_gain_that_nobody_knows_is_not_written(tmp_path: Path, rng: np.random.Generator) -> None:
    reads = np.rint(400 + rng.normal(0, 6, (16, 32, 32))).astype(np.uint16)
    write_image(tmp_path / "dark.tif", Image(reads, "TYX", {}, None, {}), dtype="uint16")
    result = fit(tmp_path / "dark.tif", tmp_path / "rate.tif")
    info = read_image(tmp_path / "rate.tif").info
    assert (result["gain_known"], info["ndr.gain_assumed"], info["ndr.unit"]) == (False, "true", "adu")
    assert not {"ndr.gain_e_per_adu", "ndr.read_noise_e"} & info.keys()


def test_saturation_is_noticed_where_gain_and_noise_are_known_and_the_full_well_is_not(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    flux = np.full((48, 48), 20.0)
    flux[16:32, 16:32] = 400.0
    reads = np.minimum(np.cumsum(rng.poisson(flux, (24, 48, 48)), axis=0) + 300 + rng.normal(0, 4, (24, 48, 48)), 4000)
    write_image(tmp_path / "e.tif", Image(np.rint(reads).astype(np.uint16), "TYX", {}, None, {}), dtype="uint16")
    known = CameraOptions(gain_e_per_adu=1.0, read_noise_e=4.0)
    result = fit(tmp_path / "e.tif", tmp_path / "rate.tif", flags=tmp_path / "flags.tif", camera=known)
    assert any("ramps stop rising at about 4000 ADU" in note for note in result["notes"])
    flags = read_image(tmp_path / "flags.tif").array
    assert ((flags & SATURATED) != 0)[16:32, 16:32].all()
    # 8 reads below 85 % of the level: sigma of a pixel's rate is about sqrt(400 / 7) = 7.6, 0.5 of 256 pixels' mean.
    assert read_image(tmp_path / "rate.tif").array[16:32, 16:32].mean() == pytest.approx(400.0, abs=2.5)


def test_simulate_writes_an_exposure_and_its_truth(tmp_path: Path) -> None:
    scene = tmp_path / "scene.tif"
    y, x = np.mgrid[:40, :56]
    write_image(scene, Image((100 + 50 * np.sin(x / 5) * np.cos(y / 7)), "YX", {"Y": 0.3, "X": 0.3}))
    out = tmp_path / "s_E0001_NDR.tif"
    settings = SimulatedCamera(reads=60, prnu=0.02)
    result = simulate(out, image=scene, flux=8.0, seed=5, settings=settings)
    image, truth = read_image(out), read_image(tmp_path / "s_E0001_NDR_TRUTH.tif")
    assert image.array.dtype == np.uint16
    assert image.array.shape == (60, 40, 56)
    assert image.frame_interval_s == pytest.approx(1e-3)
    assert image.labels[6] == "read 0007 t=7.000 ms"
    assert image.info["ndr.n_subframes"] == "60"
    assert float(image.info["ndr.gain_e_per_adu"]) == 0.46
    assert image.info["quietframe.seed"] == "5"
    assert truth.axes == "YX"
    assert truth.pixel_size_um == pytest.approx({"Y": 0.3, "X": 0.3})
    assert read_image(tmp_path / "s_E0001_NDR_TRUTH_PARTS.tif").array.shape == (5, 40, 56)
    fitted = fit(out, tmp_path / "r.tif", unit="electrons", variance=tmp_path / "v.tif")
    z = (read_image(tmp_path / "r.tif").array - truth.array) / np.sqrt(read_image(tmp_path / "v.tif").array[0])
    # drift, row noise and the spread of the read noise are not in the error bars: a few percent wider
    assert abs(np.median(z)) < 0.3
    assert 1.4826 * np.median(np.abs(z - np.median(z))) == pytest.approx(1.0, abs=0.12)
    assert fitted["gain_known"]
    assert result["shape"] == [60, 40, 56]
    again = simulate(tmp_path / "t.tif", image=scene, flux=8.0, seed=5, settings=settings)
    assert again["median_true_rate"] == result["median_true_rate"]
    np.testing.assert_array_equal(read_image(tmp_path / "t.tif").array, image.array)


def test_measure_reports_the_two_figures_per_frame(exposure: Path, tmp_path: Path) -> None:
    out = exposure.with_name("d.tif")
    subtract(exposure, out, difference=5, first=1)
    table = tmp_path / "m.csv"
    result = measure([out], bright="12,12,16,16", dark="0,32,30,10", csv=table)
    image = read_image(out).array.astype(np.float64)
    first = result["frames"][0]
    bright, dark = image[0, 12:28, 12:28], image[0, 32:42, 0:30]
    assert first["snr"] == pytest.approx(bright.mean() / dark.std(ddof=1), rel=1e-9)
    assert first["psnr_prime"] == pytest.approx(image[0].max() / dark.std(ddof=1), rel=1e-9)
    assert first["label"] == "reads 1-6"
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    assert float(rows[3]["snr"]) == result["frames"][3]["snr"]


def test_measure_finds_regions_and_compares_two_files(exposure: Path, tmp_path: Path) -> None:
    for k, name in ((3, "a.tif"), (12, "b.tif")):
        subtract(exposure, tmp_path / name, difference=k, spacing="single")
    result = measure([tmp_path / "a.tif", tmp_path / "b.tif"], plot=tmp_path / "p.png")
    assert result["gain_percent"]["snr"] > 50
    assert sum("region found" in note for note in result["notes"]) == 2
    assert (tmp_path / "p.png").stat().st_size > 1000


Change = dict[str, Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"difference": 24}, "the largest difference possible here is 23"),
        ({"difference": 0}, "difference must be 1 or more sub-frames; got 0"),
        ({"difference": -2}, "difference must be 1 or more"),
        ({"difference": 3, "first": 0}, "first read 0 is not one of the reads 1 to 24"),
        ({"difference": 3, "first": 30}, "first read 30 is not one of the reads"),
        ({"difference": 3, "spacing": "garded"}, "did you mean guarded"),
        ({"difference": 3, "unit": "electron"}, "did you mean electrons"),
        ({"difference": 3, "camera": CameraOptions(gain_e_per_adu=-1.0)}, "gain_e_per_adu must be above 0; got -1"),
        ({"difference": 3, "axes": "ZYX"}, "z-stack"),
        ({"difference": 3, "axes": "TY"}, "axes"),
        ({"difference": 3, "source": "nothing.tif"}, "does not exist"),
        ({"difference": 3, "out": "s_E0007_NDR.tif"}, "add --overwrite"),
        ({"difference": 3, "out": "no/such/d.tif"}, "does not exist; make it first"),
        ({"difference": 3, "out": "d.xyz"}, "xyz"),
    ],
)
def test_subtract_refuses_bad_input(exposure: Path, change: Change, message: str) -> None:
    folder = exposure.parent
    options = {"source": exposure.name, "out": "d.tif", **change}
    source, out = folder / options.pop("source"), folder / options.pop("out")
    before = sorted(folder.iterdir())
    with pytest.raises(QuietframeError, match=message):
        subtract(source, out, **options)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "optimum"}, "did you mean optimal"),
        ({"unit": "adus"}, "did you mean adu"),
        ({"first": 0}, "first read 0"),
        ({"first": 24}, "one read only"),
        ({"last": 25}, "last read 25"),
        ({"last": 0}, "last read 0"),
        ({"jump_sigma": -5.0}, "jump_sigma must lie between"),
        ({"full_well_fraction": 2.0}, "full_well_fraction must be above 0"),
        ({"camera": CameraOptions(read_noise_e=-1.0)}, "read_noise_e must not be negative"),
        ({"camera": CameraOptions(t_subframe_s=0.0)}, "t_subframe_s must be above 0"),
        ({"camera": CameraOptions(camera=Path("none.json"))}, "give a camera file"),
        ({"camera": CameraOptions(full_well_e=100.0, black_adu=0.0)}, "no pixel has two usable reads"),
        ({"flags": Path("no/such/f.tif")}, "make it first"),
    ],
)
def test_fit_refuses_bad_input(exposure: Path, change: Change, message: str) -> None:
    with pytest.raises(QuietframeError, match=message):
        fit(exposure, exposure.with_name("r.tif"), **change)
    assert [path.name for path in exposure.parent.iterdir()] == [exposure.name]


def ramp_file(path: Path, reads: np.ndarray) -> Path:
    tifffile.imwrite(path, reads, metadata={"axes": "TYX"[3 - reads.ndim :]})
    return path


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (np.full((8, 32, 32), 9, np.uint16), "all reads are equal"),
        (np.full((8, 32, 32), 65535, np.uint16), "all reads are equal"),
        (np.full((8, 32, 32), np.nan, np.float32), "only 0 of 1024 pixels"),
        (np.arange(2048, dtype=np.uint16).reshape(2, 32, 32), "cannot be measured from 2 reads"),
        (np.zeros((32, 32), np.uint16), "is one read"),
    ],
)
def test_fit_refuses_ramps_that_hold_nothing(tmp_path: Path, reads: np.ndarray, message: str) -> None:
    with pytest.raises(QuietframeError, match=message):
        fit(ramp_file(tmp_path / "a.tif", reads), tmp_path / "r.tif")
    assert not (tmp_path / "r.tif").exists()


def test_falling_ramps_are_fitted_flagged_and_named(exposure: Path, tmp_path: Path) -> None:
    path = ramp_file(tmp_path / "f.tif", read_image(exposure).array[::-1].copy())
    result = fit(path, tmp_path / "r.tif", unit="adu")
    assert result["median_rate"] < 0
    assert any("reverse order" in note for note in result["notes"])


def test_measure_refuses_bad_input(exposure: Path, tmp_path: Path) -> None:
    small = ramp_file(tmp_path / "small.tif", np.zeros((2, 8, 8), np.uint16))
    for files, options, message in (
        ([exposure], {"bright": "0,0,0,5"}, "0,0,0,5"),
        ([exposure], {"bright": "900,900,5,5"}, "no pixel"),
        ([exposure], {"dark": "none.roi"}, "none.roi"),
        ([exposure, small], {}, "regions belong to an image of 48 x 40"),
        ([small], {}, "does not fit"),
        ([small], {"bright": "0,0,4,4", "dark": "4,4,4,4"}, "constant"),
        ([exposure], {"csv": tmp_path / "no" / "m.csv"}, "make it first"),
    ):
        with pytest.raises(QuietframeError, match=message):
            measure(files, **options)


def test_the_simulated_nuclei_are_fitted_to_0_65_of_last_first(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "ndr_simulated"
    truth = read_image(folder / "nuclei_lowflux_truth_rate.tif").array
    masks = np.load(folder / "nuclei_lowflux_truth_masks.npz")
    jumps = np.unpackbits(masks["jumps"], axis=-1).reshape(masks["jumps_shape"]).astype(bool)[0].any(axis=0)
    error = {}
    for method in ("optimal", "last-first"):
        out = tmp_path / f"{method}.tif"
        result = fit(folder / "nuclei_lowflux_ramp1.tif", out, method=method, flags=tmp_path / f"{method}_FLAGS.tif")
        # The ramp is too dark to tell its gain, which is 1: the file is in ADU per sub-frame of 0.1 s.
        assert result["unit"] == "adu"
        rate = read_image(out).array / 0.1
        error[method] = float(np.sqrt(np.mean((rate - truth - masks["dark"])[~jumps] ** 2)))
    assert error["optimal"] == pytest.approx(6.9, abs=0.05)
    assert error["last-first"] == pytest.approx(11.5, abs=0.05)
    assert error["optimal"] <= 0.65 * error["last-first"]
    flagged = (read_image(tmp_path / "optimal_FLAGS.tif").array & JUMP) > 0
    assert np.count_nonzero(flagged & ~jumps) <= 13  # 2e-4 of 65536


def test_saturating_ramps_leave_no_wrong_pixel_unflagged(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "ndr_simulated"
    truth = read_image(folder / "cords_highflux_saturating_truth_rate.tif").array
    dark = np.load(folder / "cords_highflux_saturating_truth_masks.npz")["dark"]
    known = CameraOptions(gain_e_per_adu=1.6, read_noise_e=8.0, t_subframe_s=0.5)
    rate, variance, flags = (tmp_path / f"{name}.tif" for name in ("r", "v", "f"))
    fit(folder / "cords_highflux_saturating_ramp1.tif", rate, variance=variance, flags=flags, camera=known)
    z = (read_image(rate).array - truth - dark) / np.sqrt(read_image(variance).array[0])
    clean = read_image(flags).array == 0
    assert 0.97 <= 1.4826 * np.median(np.abs(z[clean])) <= 1.05
    assert np.count_nonzero(np.abs(z[clean]) > 5) == 0


def test_the_real_ramp_runs_without_options(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "ndr_real" / "wfc3_ramp_electrons.tif"
    result = fit(source, tmp_path / "r.tif", variance=tmp_path / "v.tif", flags=tmp_path / "f.tif")
    # header: 20.2 e- per difference of two reads, so 14.3 per read; the issue allows 3 %
    assert np.sqrt(2) * result["camera"]["read_noise_e"] == pytest.approx(20.2, rel=0.03)
    subtract(source, tmp_path / "d.tif", difference=1)
    difference = read_image(tmp_path / "d.tif").array
    spread = 1.4826 * np.median(np.abs(difference - np.median(difference)))
    assert spread == pytest.approx(20.2, rel=0.1)


def test_the_command_line_speaks(quietframe: Callable[..., Any], exposure: Path) -> None:
    out = exposure.with_name("d.tif")
    done = quietframe("ndr", "subtract", exposure, out, "--difference", 5, "--gain-e-per-adu", 0.4, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["windows"] == [[1, 6], [7, 12], [13, 18], [19, 24]]
    wrong = quietframe("ndr", "fit", exposure, exposure.with_name("r.tif"), "--method", "optimum")
    assert wrong.returncode == 2
    assert "did you mean optimal" in wrong.stderr
    shown = quietframe("ndr", "simulate", "--help")
    assert "--read-noise-e" in shown.stdout
    assert "--seed" in shown.stdout
