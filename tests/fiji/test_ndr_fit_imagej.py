"""NDR Fit in the real ImageJ: vectors of explicit matrices, Python's numbers, units, flags, Info, wrong options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, write_image
from quietframe.ndr.calibrate import complete_camera
from quietframe.ndr.fit import FitTuning, RampFit, fit_ramp
from quietframe.ndr.reads import Reads

COMMAND = "Quietframe NDR Fit"
GAIN, NOISE = 0.6, 6.0


def simulated(n: int, height: int, width: int, *, seed: int = 1, top: float = 60.0) -> np.ndarray:
    """A ramp of a bright spot on a dark ground, with cosmic rays, uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    away = (y - height / 2) ** 2 + (x - width / 2) ** 2
    flux = np.maximum(top * np.exp(-30 * away / (height * width)), 0.05)
    hits = (rng.random((n, height, width)) < 0.02 / n) * rng.uniform(100, 2000, (n, height, width))
    electrons = np.cumsum(rng.poisson(flux, (n, height, width)) + hits, axis=0) + rng.normal(
        0, NOISE, (n, height, width)
    )
    return np.asarray(np.clip(np.round(electrons / GAIN + 300), 0, 65535).astype(np.uint16))


def in_double(reads: np.ndarray) -> Reads:
    """The reads as Python fits them in float64, as ImageJ's command does."""
    return Reads(reads.astype(np.float64), reads.shape, np.float64, stored=reads.dtype)


def python_fit(reads: np.ndarray, **options: Any) -> RampFit:
    tuning = FitTuning(jump_sigma=options.pop("jump_sigma", 5.0), saturation_adu=options.pop("saturation", None))
    camera = Camera(gain_e_per_adu=GAIN, read_noise_e=NOISE, **options.pop("camera", {}))
    return fit_ramp(in_double(reads), camera, tuning=tuning, **options)


def java_fit(imagej: Fiji, reads: np.ndarray, **options: Any) -> dict[str, Image]:
    return imagej.run_command(
        COMMAND, Image(reads, "TYX"), **{"gain_e_per_adu": GAIN, "read_noise_e": NOISE, **options}
    )


def assert_equal_fits(made: dict[str, Image], expected: RampFit) -> None:
    # Both in float64 and stored as float32: two roundings apart.
    np.testing.assert_array_equal(made["flags"].array, expected.flags)
    np.testing.assert_allclose(made["rate"].array, expected.rate, rtol=1e-6, atol=1e-12)
    parts = np.stack([expected.variance, expected.variance_poisson, expected.variance_read])
    np.testing.assert_allclose(made["variance"].array, parts, rtol=1e-6)


def test_the_fit_of_the_vectors_is_that_of_explicit_matrices(imagej: Fiji, vectors: Callable[[str], Any]) -> None:
    from jpype import JArray, JClass, JFloat

    known = vectors("ndr_fit.json")
    settings = JClass("org.quietframe.NdrFit$Settings")()
    reads = JClass("org.quietframe.NdrReads")(imagej.to_imageplus(np.array(known["ramp"]["values"], np.uint16), "TYX"))
    settings.setLast(known["ramp"]["shape"][0])
    settings.setGain(known["camera"]["gain_e_per_adu"])
    settings.setNoise(known["camera"]["read_noise_e"])
    settings.setJumpSigma(known["jump_sigma"])
    settings.setSaturation(known["saturation_adu"])
    settings.setFlux(JArray(JFloat)(np.array(known["flux_e"], np.float32).ravel()))
    fit = JClass("org.quietframe.NdrFit").of(reads, settings)
    shape = np.shape(known["flags"])
    np.testing.assert_array_equal(np.array(fit.getFlags()).reshape(shape), known["flags"])
    np.testing.assert_array_equal(np.array(fit.getUsed()).reshape(shape), known["n_used"])
    for name, plane in (
        ("rate", fit.getRate()),
        ("variance_poisson", fit.getPoisson()),
        ("variance_read", fit.getRead()),
    ):
        # float64 arithmetic, stored as float32.
        np.testing.assert_allclose(np.array(plane).reshape(shape), np.array(known[name], float), rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "last-first"},
        {"method": "fowler"},
        {"method": "lsq"},
        {"jump_sigma": 3.0},
        {"first": 3, "last": 17},
        {"full_well_e": 1500.0},
        {"full_well_e": 1500.0, "black_adu": 250.0, "full_well_fraction": 0.5},
        {"full_well_e": 1500.0, "method": "fowler"},
    ],
)
def test_the_fit_equals_pythons_in_double_precision(imagej: Fiji, options: dict[str, Any]) -> None:
    reads = simulated(26, 40, 50)
    camera = {key: options[key] for key in ("full_well_e", "black_adu") if key in options}
    rest = {key: value for key, value in options.items() if key not in camera}
    rest["first"] = rest.get("first", 1) - 1
    expected = python_fit(reads, camera=camera | ({} if camera else {"full_well_e": 1e9}), **rest)
    assert_equal_fits(
        java_fit(imagej, reads, unit="electrons", **({} if camera else {"full_well_e": 1e9}), **options), expected
    )
    assert (expected.flags & 2).any()


def test_usual_integer_arithmetic_in_python_gives_the_same_picture(imagej: Fiji) -> None:
    reads = simulated(40, 64, 70, seed=2)
    expected = fit_ramp(reads, Camera(gain_e_per_adu=GAIN, read_noise_e=NOISE, full_well_e=1e9))
    made = java_fit(imagej, reads, unit="electrons", full_well_e=1e9)
    # Python works on integers in float32: reads of up to 5000 e-, 3e-4 e- each, over a ramp of 40.
    np.testing.assert_allclose(made["rate"].array, expected.rate, rtol=2e-5, atol=2e-4)
    assert np.count_nonzero(made["flags"].array != expected.flags) <= 1


def test_a_float_ramp_with_missing_values_is_cut_there(imagej: Fiji) -> None:
    reads = simulated(20, 24, 30, seed=3).astype(np.float32)
    reads[5, 3, 3], reads[0, 4, 4], reads[7, 9, 9], reads[1, 2, 2] = np.nan, np.inf, -np.inf, np.nan
    made = java_fit(imagej, reads, unit="electrons", full_well_e=1e9)
    expected = python_fit(reads, camera={"full_well_e": 1e9})
    assert_equal_fits(made, expected)
    assert {tuple(place) for place in np.argwhere(made["flags"].array & 4)} == {(3, 3), (4, 4), (9, 9), (2, 2)}
    assert np.isnan(made["rate"].array).sum() == 2


def test_several_blocks_of_rows_make_one_picture(imagej: Fiji) -> None:
    # 48 MiB are one block: 3000 reads of 128 px in uint16 take blocks of 65 rows, and Python cuts at the same ones.
    rng = np.random.default_rng(5)
    reads = rng.integers(0, 12, (3000, 100, 128), dtype=np.uint16) + 2 * np.arange(3000, dtype=np.uint16)[:, None, None]
    made = java_fit(imagej, reads, unit="electrons", full_well_e=1e9, jump_sigma=0)
    expected = python_fit(reads, camera={"full_well_e": 1e9}, jump_sigma=None)
    assert len(Reads(reads, reads.shape, reads.dtype).row_blocks()) > 1
    assert_equal_fits(made, expected)


def test_a_virtual_stack_gives_the_same_fit(imagej: Fiji, tmp_path: Any) -> None:
    from jpype import JClass

    reads = simulated(15, 30, 33, seed=4)
    path = write_image(tmp_path / "ramp.tif", Image(reads, "TYX"), dtype="uint16")
    virtual = JClass("ij.plugin.FileInfoVirtualStack").openVirtual(str(path))
    assert virtual.getStack().isVirtual()
    options = {"gain_e_per_adu": GAIN, "read_noise_e": NOISE}
    made = imagej.run_command(COMMAND, virtual, **options)
    expected = imagej.run_command(COMMAND, Image(reads, "TYX"), **options)
    for name, image in expected.items():
        np.testing.assert_array_equal(made[name].array, image.array)


def test_what_the_camera_lacks_is_measured_and_said(imagej: Fiji) -> None:
    reads = simulated(60, 64, 64, seed=6)
    known = complete_camera(reads, Camera())
    made = imagej.run_command(COMMAND, Image(reads, "TYX"))["rate"]
    assert known.gain_known
    assert float(made.info["ndr.gain_e_per_adu"]) == pytest.approx(known.camera.gain_e_per_adu, rel=1e-6)
    assert float(made.info["ndr.read_noise_e"]) == pytest.approx(known.camera.read_noise_e, rel=1e-6)
    assert "gain measured from the ramp: " in made.info["quietframe.notes"]
    assert made.info["ndr.unit"] == "electrons"


def test_without_light_the_rate_is_in_adu_and_the_gain_is_assumed(imagej: Fiji) -> None:
    reads = np.random.default_rng(7).normal(100, 5, (30, 32, 32)).astype(np.float32)
    rate = imagej.run_command(COMMAND, Image(reads, "TYX"))["rate"]
    assert (rate.info["ndr.unit"], rate.info["ndr.gain_assumed"]) == ("adu", "true")
    assert "ndr.gain_e_per_adu" not in rate.info
    with pytest.raises(FijiError, match="unit electrons needs the gain"):
        imagej.run_command(COMMAND, Image(reads, "TYX"), unit="electrons")


def test_units_and_dark_current_scale_rate_and_variance(imagej: Fiji) -> None:
    reads = simulated(12, 16, 18)
    electrons = java_fit(imagej, reads, unit="electrons")
    for unit, factor in {"adu": 1 / GAIN, "rate": 1 / 0.25}.items():
        made = java_fit(imagej, reads, unit=unit, t_subframe_s=0.25)
        np.testing.assert_allclose(made["rate"].array, electrons["rate"].array * factor, rtol=1e-6)
        np.testing.assert_allclose(made["variance"].array, electrons["variance"].array * factor**2, rtol=1e-6)
    darker = java_fit(imagej, reads, unit="electrons", t_subframe_s=0.25, dark_e_per_s=2.0)
    np.testing.assert_allclose(darker["rate"].array, electrons["rate"].array - 0.5, rtol=1e-5, atol=1e-6)


def test_calibration_info_titles_and_labels_of_the_results(imagej: Fiji) -> None:
    given = Image(
        simulated(12, 16, 18),
        "TYX",
        {"Y": 0.11, "X": 0.11},
        0.5,
        {"ndr.exposure": "E0001", "ndr.gain_e_per_adu": "0.6"},
    )
    made = imagej.run_command(COMMAND, given, read_noise_e=NOISE, first=2, last=11)
    wanted = {
        "ndr.exposure": "E0001",
        "ndr.fit": "optimal",
        "ndr.unit": "rate",
        "ndr.unit_text": "e-/px/s",
        "ndr.first": "2",
        "ndr.reads_used": "2-11",
        "ndr.count_from": "1",
        "quietframe.command": "ndr fit",
        "quietframe.method": "optimal",
        "quietframe.jump_sigma": "5.0",
    }
    assert wanted.items() <= made["rate"].info.items()
    assert made["rate"].pixel_size_um == pytest.approx({"Y": 0.11, "X": 0.11})
    assert made["rate"].labels == ("rate reads 2-11",)
    assert made["variance"].axes == "CYX"
    assert made["variance"].labels[1] == "variance poisson reads 2-11"
    assert made["flags"].array.dtype == np.uint8


def test_a_stack_along_z_or_channels_is_taken_as_sub_frames_and_that_is_said(imagej: Fiji) -> None:
    reads = simulated(12, 16, 18)
    expected = java_fit(imagej, reads)["rate"]
    assert "taken as sub-frames" not in expected.info.get("quietframe.notes", "")
    for axis, name in (("Z", "slices (z)"), ("C", "channels")):
        options = {"gain_e_per_adu": GAIN, "read_noise_e": NOISE}
        made = imagej.run_command(COMMAND, Image(reads, f"{axis}YX"), **options)["rate"]
        np.testing.assert_array_equal(made.array, expected.array)
        assert f"its 12 {name} are taken as sub-frames" in made.info["quietframe.notes"]


def test_esc_stops_a_fit(imagej: Fiji) -> None:
    from jpype import JClass, JException

    settings = JClass("org.quietframe.NdrFit$Settings")()
    settings.setLast(10)
    settings.setGain(GAIN)
    settings.setNoise(NOISE)
    reads = JClass("org.quietframe.NdrReads")(imagej.to_imageplus(simulated(10, 16, 18), "TYX"))
    JClass("ij.IJ").setKeyDown(27)  # the bridge forgets keys pressed before a command: so the library itself is called
    with pytest.raises(JException, match="stopped by Esc"):
        JClass("org.quietframe.NdrFit").of(reads, settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "unknown method 'best': allowed: optimal, last-first"),
        ({"first": 30}, "first read 30 is not one of the reads 1 to 12"),
        ({"first": 5, "last": 5}, "reads 5 to 5 are one read only"),
        ({"last": 13}, "last read 13 must lie after"),
        ({"jump_sigma": 0.5}, "jump_sigma must lie between 1 and 8"),
        ({"full_well_fraction": 1.5}, "full_well_fraction must be above 0 and at most 1"),
        ({"gain_e_per_adu": -1.0}, "gain_e_per_adu must be above 0; got -1"),
        ({"unit": "photons"}, "unknown unit 'photons'"),
        ({"unit": "rate"}, "needs the time per sub-frame"),
        ({"full_well_e": 1.0, "black_adu": 0.0}, "no pixel has two usable reads"),
    ],
)
def test_wrong_options_are_refused_in_one_line(imagej: Fiji, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FijiError, match=message) as error:
        java_fit(imagej, simulated(12, 16, 18), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"ndr.difference": "20"}, "is a result already"),
        ({"ndr.n_subframes": "6"}, "holds 2 exposures of 6 reads"),
        ({"ndr.t_reads_s": "0,1,4"}, "ndr.t_reads_s in its Info"),
        ({"ndr.first_valid": "12"}, "leaves fewer than two"),
    ],
)
def test_what_is_no_plain_ramp_is_refused(imagej: Fiji, info: dict[str, str], message: str) -> None:
    with pytest.raises(FijiError, match=message):
        imagej.run_command(COMMAND, Image(simulated(12, 16, 18), "TYX", info=info))


def test_all_reads_equal_are_no_exposure(imagej: Fiji) -> None:
    with pytest.raises(FijiError, match="all reads are equal"):
        imagej.run_command(COMMAND, Image(np.full((8, 20, 20), 7, np.uint16), "TYX"))


def test_a_macro_runs_it_and_shows_three_images(imagej: Fiji, tmp_path: Any) -> None:
    path = write_image(tmp_path / "cells_E0001_NDR.tif", Image(simulated(12, 16, 18), "TYX"), dtype="uint16")
    macro = f"""
        setBatchMode(true);
        open("{path}");
        run("{COMMAND}", "method=lsq first=2 jump_sigma=0 gain_e_per_adu=0.6 read_noise_e=6 unit=electrons");
        titles = getList("image.titles");
        result = String.join(titles, " ");
        close("*");
        return result;
    """
    titles = imagej.run_macro(macro).split()
    assert sorted(titles) == sorted(f"cells_E0001_NDR{part}.tif" for part in ("", "_RATE", "_VAR", "_FLAGS"))
