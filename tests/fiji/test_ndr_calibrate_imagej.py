"""NDR Calibrate in the real ImageJ: Python's numbers, the simulator's truth, the Results table, what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import fft, special, stats

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image
from quietframe.ndr.calibrate import Calibration, calibrate

COMMAND = "Quietframe NDR Calibrate"
GAIN, NOISE = 0.6, 6.0


def simulated(n: int, height: int, width: int, *, seed: int = 1, top: float = 30.0) -> np.ndarray:
    """A ramp of a bright spot on a dark ground, uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    flux = np.maximum(top * np.exp(-30 * ((y - height / 2) ** 2 + (x - width / 2) ** 2) / (height * width)), 0.05)
    electrons = np.cumsum(rng.poisson(flux, (n, height, width)), axis=0) + rng.normal(0, NOISE, (n, height, width))
    return np.asarray(np.clip(np.round(electrons / GAIN + 300), 0, 65535).astype(np.uint16))


def assert_equal_calibrations(made: dict[str, Any], expected: Calibration, gain: float | None = None) -> None:
    pairs = {
        "gain": expected.gain_e_per_adu,
        "gain_error": expected.gain_error,
        "read_noise_adu": expected.read_noise_adu,
        "saturation_adu": expected.saturation_adu,
    }
    gain = gain or expected.gain_e_per_adu
    if gain is not None:
        pairs |= {
            "read_noise_e": expected.read_noise_adu * gain,
            "read_noise_error_e": expected.read_noise_error * gain,
        }
    for name, value in pairs.items():
        if value is None:
            assert math.isnan(made[name])
        else:
            # Python keeps the spectra in float32 (6e-8), ImageJ works them out in float64.
            assert made[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize(
    ("reads", "gain"),
    [
        pytest.param(simulated(40, 64, 80), None, id="gain and noise"),
        pytest.param(simulated(40, 64, 80), GAIN, id="gain known"),
        pytest.param(simulated(200, 40, 44, seed=2, top=10.0), None, id="long"),
        pytest.param(simulated(7, 64, 64, seed=3), None, id="short"),
        pytest.param(simulated(4, 64, 64, seed=4), None, id="too short for a gain"),
        pytest.param(np.minimum(simulated(40, 90, 80, seed=5, top=400.0), 9000), None, id="saturated"),
        pytest.param(simulated(30, 50, 64, seed=6, top=0.0).astype(np.float32), None, id="dark, float"),
    ],
)
def test_gain_and_read_noise_are_pythons(imagej: Fiji, reads: np.ndarray, gain: float | None) -> None:
    options = {} if gain is None else {"gain_e_per_adu": gain}
    made = imagej.run_command(COMMAND, Image(reads, "TYX"), **options)
    assert_equal_calibrations(made, calibrate(reads, gain_e_per_adu=gain), gain)


def test_gain_and_read_noise_are_those_of_the_simulator(imagej: Fiji) -> None:
    made = imagej.run_command(COMMAND, Image(simulated(100, 80, 80, seed=7), "TYX"))
    assert abs(made["gain"] - GAIN) < 4 * made["gain_error"] < 0.1
    # In ADU: in electrons the error of the gain would come on top.
    error = made["read_noise_error_e"] / made["gain"]
    assert abs(made["read_noise_adu"] - NOISE / GAIN) < 4 * error < 0.1


def test_missing_values_and_a_range_of_reads_are_left_out(imagej: Fiji) -> None:
    reads = simulated(40, 48, 48, seed=8).astype(np.float32)
    reads[3, 5, 5], reads[12, 7, 7] = np.nan, np.inf
    made = imagej.run_command(COMMAND, Image(reads, "TYX"), first=3, last=32)
    assert_equal_calibrations(made, calibrate(reads, first=2, last=32))


def test_a_row_of_the_results_table_holds_it_all(imagej: Fiji) -> None:
    from jpype import JClass

    table = JClass("ij.measure.ResultsTable").getResultsTable()
    table.reset()
    made = imagej.run_command(COMMAND, Image(simulated(60, 64, 64), "TYX"))
    assert table.size() == 1
    for column, name in (("gain_e_per_adu", "gain"), ("read_noise_adu", "read_noise_adu")):
        assert table.getValue(column, 0) == pytest.approx(made[name])
    assert str(table.getStringValue("reads", 0)) == "1-60"


@pytest.mark.parametrize(
    ("reads", "options", "message"),
    [
        (np.full((9, 30, 30), 5, np.uint16), {}, "all reads are equal"),
        (simulated(9, 30, 30), {"last": 3}, "cannot be measured from 3 reads"),
        (simulated(9, 30, 30), {"first": 12}, "first read 12 is not one of the reads 1 to 9"),
        (simulated(9, 3, 3), {}, "too few to measure the read noise"),
        (simulated(9, 30, 30), {"gain_e_per_adu": -2.0}, "gain_e_per_adu must be above 0"),
    ],
)
def test_what_tells_no_noise_is_refused(imagej: Fiji, reads: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(COMMAND, Image(reads, "TYX"), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("n", [3, 4, 7, 16, 31, 99, 128, 999])
def test_the_cosine_transform_is_scipys(imagej: Fiji, n: int) -> None:
    from jpype import JArray, JClass, JDouble

    rows = np.random.default_rng(n).normal(size=(2, n))
    first, second = (JArray(JDouble)(row) for row in rows)
    JClass("org.quietframe.NdrCosine")(n).transform(first, second)
    expected = fft.dct(rows, norm="ortho", axis=1)
    np.testing.assert_allclose([np.array(first), np.array(second)], expected, atol=1e-12)


def test_distributions_are_scipys(imagej: Fiji) -> None:
    from jpype import JClass

    chances = JClass("org.quietframe.NdrChances")
    for z in (-3.0, 0.0, 0.7, 3.0, 5.0, 8.0):
        assert chances.normalTail(z) == pytest.approx(special.ndtr(-z), rel=1e-10)
    for chance in (0.4, 1e-3, 2.9e-7, 1e-15):
        assert chances.normalQuantile(chance) == pytest.approx(-special.ndtri(chance), rel=1e-10)
        for mean in (1e-9, 1e-3, 0.5, 3.0, 80.0, 2e4):
            # SciPy's argument is 1 - chance, which keeps 1e-16 / chance of it: the test stays well above that.
            if chance > 1e-8:
                expected = special.pdtrik(1.0 - chance, mean)
                assert chances.poissonQuantile(chance, mean) == pytest.approx(expected, rel=1e-7, abs=1e-7)
    for above, below in ((1, 30), (2, 5), (3, 1), (1, 4)):
        assert chances.fQuantile(1e-3, above, below) == pytest.approx(stats.f.isf(1e-3, above, below), rel=1e-9)
