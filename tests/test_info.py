"""`quietframe info` and the overview behind it: numbers against closed forms, warnings, bad input."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError
from quietframe.images import Image, write_image
from quietframe.metrics.overview import NOISE_PLANES, noise_sigma, overview
from quietframe.verbs.info import info


@pytest.mark.parametrize("sigma", [0.5, 3.0, 40.0])
def test_the_noise_estimate_finds_white_noise_on_smooth_signal(sigma: float, rng: np.random.Generator) -> None:
    y, x = np.mgrid[:400, :400]
    smooth = 100 + 0.3 * x + 0.7 * y + 20 * np.sin(x / 15) + 0.002 * y**2  # a function of x plus one of y: cancelled
    found = noise_sigma((smooth + rng.normal(0, sigma, smooth.shape)).astype(np.float64))
    # 400 x 400 filtered values of which about one in nine is independent: standard error 0.75/sqrt(17700) = 0.6 %.
    assert found == pytest.approx(sigma, rel=0.03)


def test_the_noise_estimate_is_zero_without_noise_and_none_where_it_cannot_be() -> None:
    y, x = np.mgrid[:50, :40]
    assert noise_sigma(2.0 * x + 3.0 * y) == pytest.approx(0, abs=1e-10)
    assert noise_sigma(np.zeros((2, 50))) is None
    assert noise_sigma(np.full((5, 5), np.nan)) is None
    assert noise_sigma(np.array([[0, 255, 0]] * 3, np.uint8)) == pytest.approx(0)  # unsigned values do not wrap


def test_one_pass_gives_the_statistics_of_all_pixels(rng: np.random.Generator) -> None:
    stack = rng.normal(5, 2, (7, 600, 30)).astype(np.float32)
    stack[2, 3, 4], stack[5, 500, 7], stack[6, 0, 0] = np.nan, np.inf, -np.inf
    found = overview(stack)
    finite = stack[np.isfinite(stack)].astype(np.float64)
    assert (found.n_pixels, found.n_nan, found.n_infinite) == (stack.size, 1, 2)
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    assert found.mean == pytest.approx(finite.mean(), rel=1e-12)
    assert (found.saturation_level, found.saturated_fraction) == (None, 0.0)
    assert found.n_noise_planes == 4  # the planes without NaN and infinity
    with pytest.raises(InputError, match="no plane"):
        overview([])


@pytest.mark.parametrize("dtype, top, level", [
    ("uint8", 255, 255), ("uint8", 254, None), ("uint16", 4095, 4095), ("uint16", 65535, 65535),
    ("uint16", 4094, None), ("int16", 32767, 32767), ("uint8", 127, None),
])  # fmt: skip
def test_saturation_is_seen_at_full_scales_only(dtype: str, top: int, level: int | None) -> None:
    planes = np.zeros((3, 10, 10), dtype)
    planes[0, 0, 0] = 5
    planes[1, 2, 3:7] = top
    planes[2, 0, 1] = top
    found = overview(planes)
    assert found.saturation_level == level
    assert found.saturated_fraction == (5 / 300 if level else 0.0)


def test_only_the_first_planes_are_used_for_the_noise(rng: np.random.Generator) -> None:
    planes = [rng.normal(0, 1 if number < NOISE_PLANES else 100, (64, 64)) for number in range(NOISE_PLANES + 5)]
    assert overview(planes).noise_sigma == pytest.approx(1, rel=0.1)


def test_info_tells_what_the_file_says(tmp_path: Path, rng: np.random.Generator) -> None:
    reads = rng.poisson(500, (4, 30, 20)).astype(np.uint16)
    keys = {"ndr.gain_e_per_adu": "0.46", "ndr.exposure": "E0001", "operator": "A B"}
    image = Image(reads, "TYX", {"X": 0.1, "Y": 0.2}, 0.05, keys, tuple("abcd"))
    path = write_image(tmp_path / "cells_E0001_NDR.tif", image, dtype="uint16")
    seen: list[tuple[str, int, int]] = []
    found = info(path, progress=lambda *state: seen.append(state))
    assert (found["axes"], found["shape"], found["dtype"], found["n_planes"]) == ("TYX", [4, 30, 20], "uint16", 4)
    assert found["pixel_size_um"] == {"X": pytest.approx(0.1), "Y": pytest.approx(0.2)}
    assert (found["frame_interval_s"], found["n_labels"]) == (0.05, 4)
    assert found["ndr"] == {"ndr.gain_e_per_adu": "0.46", "ndr.exposure": "E0001"}
    assert found["info"] == keys
    assert (found["minimum"], found["maximum"], found["mean"]) == (
        reads.min(),
        reads.max(),
        pytest.approx(reads.mean()),
    )
    # Four planes of 28 x 18 filtered values: standard error about 5 %.
    assert found["noise_sigma"] == pytest.approx(math.sqrt(500), rel=0.2)
    assert found["warnings"] == []
    assert seen == [("reading", number, 4) for number in range(1, 5)]
    text = "\n".join(found["summary"])
    assert "T 4 x Y 30 x X 20, uint16" in text
    assert "X 0.1 um, Y 0.2 um; frame interval 0.05 s" in text
    assert "ndr.gain_e_per_adu = 0.46" in text
    json.dumps(found)


@pytest.mark.parametrize("values, words", [
    ([[np.nan, 1.0], [np.inf, 2.0]], "1 pixels are NaN and 1 infinite: most commands refuse them"),
    ([[np.nan, np.nan]], "no pixel holds a number"),
    ([[3.5, 3.5]], r"all pixels have the value 3\.5: there is nothing to denoise"),
    ([[9.0]], "all pixels have the value 9"),
])  # fmt: skip
def test_info_warns_of_what_later_steps_stumble_over(values: Any, words: str, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", Image(np.array(values), "YX"))
    found = info(path)
    assert any(re.search(words, warning) for warning in found["warnings"])
    assert any("warning" in line for line in found["summary"])


def test_info_warns_of_saturation_and_of_keys_that_are_no_numbers(tmp_path: Path) -> None:
    reads = np.full((5, 8), 1000, np.uint16)
    reads[0, :2] = 65535
    path = write_image(tmp_path / "a.tif", Image(reads, "YX", info={"ndr.read_noise_e": "low"}), dtype="uint16")
    warnings = info(path)["warnings"]
    assert "5.000% of the pixels are at 65535: they may be saturated" in warnings
    assert any("ndr.read_noise_e is not a number: 'low'" in warning for warning in warnings)


def test_the_command_line_shows_lines_or_one_json_object(
    tmp_path: Path, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = write_image(tmp_path / "a.tif", Image(np.arange(12.0).reshape(1, 3, 4), "TYX"))
    shown = quietframe("info", path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[1].startswith("axes")
    found = json.loads(quietframe("info", path, "--axes", "YX", "--json").stdout)
    assert (found["shape"], found["maximum"]) == ([3, 4], 11.0)
    wrong = quietframe("info", path, "--axes", "TZYX")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1
    assert "4 letters, but the image has 2 axes" in wrong.stderr


def test_real_noise_is_what_repeats_say(data_dir: Path) -> None:
    """The data's README: standard deviation between five repeats 4.8 ADU at every mean."""
    assert info(data_dir / "repeats" / "stuck_particles.tif")["noise_sigma"] == pytest.approx(4.8, rel=0.03)
