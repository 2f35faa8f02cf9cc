"""`ndr measure` over differences: power laws with a floor, gains of restored over noisy, the plot."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from quietframe.errors import QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.measure import COLUMNS, FIGURES
from quietframe.ndr.power_law import fit_power_law, fit_with_floor, noise_maximum
from quietframe.verbs.ndr import measure, subtract

DIFFERENCES = (1, 2, 5, 10, 20, 50, 100)


@given(factor=st.floats(0.01, 100), power=st.floats(0.2, 1.5), floor=st.floats(0, 10))
def test_the_law_that_made_the_points_is_found(factor: float, power: float, floor: float) -> None:
    k = np.array(DIFFERENCES, float)
    exact = factor * k**power
    line = fit_power_law(list(k), list(exact))
    assert line is not None
    assert (line.factor, line.power) == pytest.approx((factor, power), rel=1e-9)
    if not 0.01 < floor / factor < 3:  # a floor that is not seen at one end, or hides the law at the other
        return
    law = fit_with_floor(list(k), list(exact + floor), 65536)
    assert law is not None
    np.testing.assert_allclose(law(k), exact + floor, rtol=1e-3)
    assert law.power == pytest.approx(power, abs=0.02)


def test_noise_pulls_the_power_by_no_more_than_its_error_says() -> None:
    rng = np.random.default_rng(11)
    k = np.array([1, 2, 3, 5, 8, 12, 20, 35, 60, 100], float)
    z = []
    for _ in range(300):
        law = fit_with_floor(list(k), list((0.8 * k**0.9 + 4.5) * np.exp(0.03 * rng.standard_normal(len(k)))), 65536)
        assert law is not None
        assert law.power_error is not None
        z.append((law.power - 0.9) / law.power_error)
    # Student's t with 7 degrees of freedom: standard deviation 1.18; 300 draws: 5 %; the model is not linear
    assert np.std(z) == pytest.approx(1.18, abs=0.25)
    assert abs(np.mean(z)) < 0.3


def test_without_the_floor_the_power_comes_out_too_low() -> None:
    k = np.array(DIFFERENCES, float)
    values = list(0.4 * k**0.9 + 4.5)
    line = fit_power_law(list(k), values)
    assert line is not None
    assert line.power < 0.6  # the report's way; the truth is 0.9
    few = fit_with_floor(list(k[3:]), values[3:], 65536)  # 4 points: those well above the floor
    assert few is not None
    assert few.floor == 0.0
    assert few.power > line.power
    assert fit_with_floor([1, 2, 3], [4.4, 4.5, 4.4], 65536) is None


def test_the_maximum_of_pure_noise_is_the_median_of_its_law() -> None:
    for n in (100, 65536, 2**22):
        assert stats.norm.cdf(noise_maximum(n)) ** n == pytest.approx(0.5, rel=1e-6)
    mean = integrate.quad(lambda x: x * 65536 * stats.norm.pdf(x) * stats.norm.cdf(x) ** 65535, 2, 8)[0]
    assert mean == pytest.approx(noise_maximum(65536), abs=0.1)  # the "near 4.5" of the research notes, for 256 x 256


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    """Make one stack per difference: 3 frames of 60 x 60, read noise 3 e-, light 2 e- in a square, 0.02 around it."""
    rng = np.random.default_rng(5)
    rate = np.full((60, 60), 0.02)
    rate[20:40, 20:40] = 2.0
    paths = []
    for k in DIFFERENCES:
        frames = rng.poisson(rate * k, (3, 60, 60)) + rng.normal(0, 3 * math.sqrt(2), (3, 60, 60))
        info = {"ndr.difference": str(k), "ndr.unit": "electrons"}
        path = tmp_path / f"s_D{k:03d}.tif"
        paths.append(write_image(path, Image(frames.astype(np.float32), "TYX", {}, None, info)))
    return paths


def restore(paths: list[Path], factor: float, *, keys: bool = True) -> list[Path]:
    """Write versions whose noise (around the true light) is `factor` times as large."""
    made = []
    for path in paths:
        image = read_image(path)
        light = np.full((60, 60), 0.02)
        light[20:40, 20:40] = 2.0
        light *= float(image.info["ndr.difference"])
        array = (light + factor * (image.array - light)).astype(np.float32)
        out = path.with_name(path.name.replace("s_", "r_"))
        made.append(write_image(out, Image(array, "TYX", {}, None, image.info if keys else {}), overwrite=True))
    return made


def test_the_curve_follows_the_closed_form(series: list[Path]) -> None:
    result = measure(series, bright="20,20,20,20", dark="0,0,60,18")
    for point in result["series"]:
        k = point["difference"]
        expected = 2.0 * k / math.sqrt(0.02 * k + 18)
        # std from 1080 pixels: 2.2 %, mean of 3 frames; mean of 400 pixels of sigma sqrt(2k+18): small k is noisier
        spread = math.sqrt((2 * k + 18) / 1200) / math.sqrt(0.02 * k + 18)
        assert abs(point["snr"] - expected) < 4 * (0.022 / math.sqrt(3) * expected + spread)
    law = result["power_laws"]["noisy"]["snr"]
    assert law["power"] == pytest.approx(1.0, abs=0.05)  # read noise rules the dark region at every k
    assert law["points"] == len(DIFFERENCES)
    assert 0 < result["power_laws"]["noisy"]["psnr_prime"]["floor"] < 6


def test_background_subtraction_undoes_an_offset(series: list[Path]) -> None:
    shifted = series[4].with_name("shifted.tif")
    image = read_image(series[4])
    write_image(shifted, Image(image.array + np.float32(500), "TYX"))
    options = {"bright": "20,20,20,20", "dark": "0,0,60,18"}
    plain, offset = measure([series[4]], **options)["frames"][0], measure([shifted], **options)["frames"][0]
    for name in ("snr", "psnr_prime"):
        assert offset[name] > 3 * plain[name]
        same = f"{name}_background_subtracted"
        assert offset[same] == pytest.approx(plain[same], rel=1e-4)
        assert plain[same] == pytest.approx(plain[name] - plain["dark_mean"] / plain["dark_std"], rel=1e-9)


@pytest.mark.parametrize("keys", [True, False])
def test_half_the_noise_is_a_gain_of_100_percent(series: list[Path], keys: bool) -> None:
    result = measure(series[3:], restored=restore(series[3:], 0.5, keys=keys), bright="20,20,20,20", dark="0,0,60,18")
    assert len(result["gain_by_difference"]) == 4
    # The mean of the bright region keeps half its own noise too: sigma sqrt((2k+18)/1200)/2k = 9 % at k = 10 at most
    assert result["gain_percent"]["snr"] == pytest.approx(100, abs=15)
    assert {point["role"] for point in result["series"]} == {"noisy", "restored"}
    assert any("no evidence of restoration" in line for line in result["summary"])


def test_blurring_raises_psnr_prime(series: list[Path]) -> None:
    from scipy import ndimage

    image = read_image(series[5])
    blurred = series[5].with_name("blurred.tif")
    write_image(blurred, Image(ndimage.gaussian_filter(image.array, (0, 2, 2)), "TYX", {}, None, image.info))
    result = measure([series[5]], restored=[blurred], bright="20,20,20,20", dark="0,0,60,14")
    assert result["gain_percent"]["psnr_prime"] > 100


def test_the_table_and_the_plot_hold_every_frame(series: list[Path], tmp_path: Path) -> None:
    table, picture = tmp_path / "m.csv", tmp_path / "m.pdf"
    result = measure(series, restored=restore(series, 0.6), csv=table, plot=picture)
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 2 * 3 * len(DIFFERENCES)
    assert [row["role"] for row in rows].count("restored") == 3 * len(DIFFERENCES)
    for row, frame in zip(rows, result["frames"], strict=True):
        assert all(float(row[name]) == frame[name] for name in FIGURES)
    assert picture.read_bytes().startswith(b"%PDF")
    assert any("of " + str(series[-1]) in note for note in result["notes"])  # regions: of the longest difference


def test_regions_are_imagej_rois(series: list[Path], tmp_path: Path) -> None:
    bright, dark = tmp_path / "bright.roi", tmp_path / "dark.zip"
    roifile.ImagejRoi.frompoints([[20, 20], [40, 20], [40, 40], [20, 40]], name="cell").tofile(bright)
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=0, top=0, right=60, bottom=18, n_coordinates=0)
    roifile.roiwrite(dark, [box], name=["background"])
    by_roi = measure([series[3]], bright=str(bright), dark=str(dark))
    by_text = measure([series[3]], bright="20,20,20,20", dark="0,0,60,18")
    assert by_roi["frames"][0]["snr"] == by_text["frames"][0]["snr"]
    assert not by_roi["notes"]


def test_subtract_to_measure_on_one_exposure(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    flux = np.full((64, 64), 0.1)
    flux[20:44, 20:44] = 3.0
    reads = np.cumsum(rng.poisson(flux, (101, 64, 64)), axis=0) + rng.normal(0, 5, (101, 64, 64)) + 300
    path = write_image(tmp_path / "e.tif", Image(np.rint(reads), "TYX"), dtype="uint16")
    noisy, fitted = [], []
    for k in (5, 10, 20, 50):
        for files, name in ((noisy, "d"), (fitted, "f")):
            files.append(tmp_path / f"{name}_{k}.tif")
            subtract(path, files[-1], difference=k, fit_window=name == "f")
    result = measure(noisy, restored=fitted, bright="20,20,24,24", dark="0,0,64,18")
    assert [gain["difference"] for gain in result["gain_by_difference"]] == [5, 10, 20, 50]
    assert 30 < result["gain_percent"]["snr"] < 120


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": []}, "give at least one file"),
        ({"files": ["none.tif"]}, "does not exist"),
        ({"restored": ["none.tif"]}, "does not exist"),
        ({"restored": ["plain.tif", "plain.tif"]}, "one restored file for each noisy one"),
        ({"files": ["odd.tif"]}, "ndr.difference is not a number: 'many'"),
        ({"bright": "0,0,0,0"}, "0,0,0,0"),
        ({"bright": "70,70,5,5"}, "no pixel"),
        ({"bright": "-5,-5,3,3"}, "no pixel"),
        ({"dark": "5,5,1,1"}, "at least 2"),
        ({"dark": "none.roi"}, "none.roi"),
        ({"files": ["flat.tif"], "bright": "0,0,9,9", "dark": "9,9,9,9"}, r"flat.tif, frame 1: the dark region is con"),
        ({"files": ["nan.tif"], "bright": "0,0,9,9", "dark": "9,9,9,9"}, "NaN or infinite"),
        ({"files": ["s_D005.tif", "small.tif"]}, "regions belong to an image of 60 x 60"),
        ({"plot": "m.tif"}, "a figure is written as .png, .pdf, .svg"),
        ({"plot": "no/m.png"}, "make it first"),
        ({"csv": "s_D005.tif"}, "add --overwrite"),
    ],
)
def test_measure_refuses_bad_input(series: list[Path], change: dict[str, Any], message: str) -> None:
    folder = series[0].parent
    plain = np.random.default_rng(0).normal(5, 1, (2, 60, 60)).astype(np.float32)
    write_image(folder / "plain.tif", Image(plain, "TYX"))
    write_image(folder / "odd.tif", Image(plain, "TYX", {}, None, {"ndr.difference": "many"}))
    write_image(folder / "flat.tif", Image(np.ones((60, 60), np.float32), "YX"))
    write_image(folder / "nan.tif", Image(np.full((60, 60), np.nan, np.float32), "YX"))
    write_image(folder / "small.tif", Image(plain[:, :20, :20], "TYX"))
    options = {"files": ["s_D005.tif"], **change}
    files = [folder / name for name in options.pop("files")]
    if "restored" in options:
        options["restored"] = [folder / name for name in options["restored"]]
    options |= {name: folder / options[name] for name in ("csv", "plot") if name in options}
    before = sorted(folder.iterdir())
    with pytest.raises(QuietframeError, match=message):
        measure(files, **options)
    assert sorted(folder.iterdir()) == before


def test_the_command_line_measures(quietframe: Callable[..., Any], series: list[Path]) -> None:
    restored = restore(series, 0.5)
    done = quietframe("ndr", "measure", *series, "--restored", *restored, "--bright", "20,20,20,20", "--dark=0,0,60,18")
    assert done.returncode == 0, done.stderr
    assert "noisy: SNR = " in done.stdout
    assert f"restored over noisy, mean of {len(series)} differences" in done.stdout
