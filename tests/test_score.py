"""`quietframe score`: its numbers, its data range, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError, OptionError, QuietframeError
from quietframe.images import Image, write_image
from quietframe.verbs.score import score

SCENE = np.random.default_rng(1).gamma(2.0, 40.0, (32, 40)).astype(np.float32)


def put(path: Path, array: Any, axes: str = "YX") -> Path:
    return write_image(path, Image(np.asarray(array), axes))


def test_known_error_gives_known_scores(tmp_path: Path) -> None:
    truth, result = put(tmp_path / "t.tif", SCENE), put(tmp_path / "r.tif", SCENE + 2)
    out = score(result, truth=truth, data_range=200.0)
    # float32 files: 2 is added up to 2^-24 of the value, far below 1e-4 dB.
    assert out["psnr"] == pytest.approx(20 * math.log10(100), abs=1e-4)
    assert out["psnr_affine"] > 100
    assert out["nrmse"] == pytest.approx(2 / math.sqrt(np.mean(SCENE.astype(np.float64) ** 2)), rel=1e-5)
    assert 0.9 < out["ssim"] < 1
    assert (out["data_range"], out["data_range_from"]) == (200.0, "given")


def test_default_data_range_is_named(tmp_path: Path) -> None:
    truth, result = put(tmp_path / "t.tif", SCENE), put(tmp_path / "r.tif", SCENE + 2)
    out = score(result, truth=truth)
    low, high = np.percentile(SCENE.astype(np.float64), (0.1, 99.9))
    assert out["data_range"] == pytest.approx(high - low)
    assert out["data_range_from"] == "P99.9 - P0.1 of the truth"
    assert out["data_range_from"] in out["summary"][0]


def test_stacks_are_scored_frame_by_frame_with_one_data_range(tmp_path: Path) -> None:
    stack = np.stack([SCENE, SCENE * 0.5, SCENE * 0.1])
    steps: list[tuple[int, int]] = []
    out = score(
        put(tmp_path / "r.tif", stack + np.array([1, 2, 4], np.float32)[:, None, None], "TYX"),
        truth=put(tmp_path / "t.tif", stack, "TYX"),
        progress=lambda _, done, total: steps.append((done, total)),
    )
    peaks = [frame["psnr"] for frame in out["frames"]]
    # Doubling the error at one data range costs 6.02 dB.
    assert np.diff(peaks) == pytest.approx([-20 * math.log10(2)] * 2, abs=1e-3)
    assert out["psnr"] == pytest.approx(np.mean(peaks))
    assert [frame["frame"] for frame in out["frames"]] == [1, 2, 3]
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_fmd_raw_image_scores_what_was_measured_elsewhere(data_dir: Path) -> None:
    # data/README.md: 24.32 dB at peak 255, measured by another program.
    out = score(
        data_dir / "fmd" / "TwoPhoton_MICE_raw1.png", truth=data_dir / "fmd" / "TwoPhoton_MICE_gt.png", data_range=255
    )
    assert out["psnr"] == pytest.approx(24.32, abs=0.006)


@pytest.mark.parametrize(
    "result, truth, options, message",
    [
        (SCENE, SCENE[:, :20], {}, r"axes YX, shape \(32, 40\); the truth .* shape \(32, 20\)"),
        (np.stack([SCENE] * 3), SCENE, {}, r"axes TYX, shape \(3, 32, 40\); the truth .* axes YX"),
        (SCENE * np.nan, SCENE, {"data_range": 1.0}, "1280 of 1280 pixels of the image are NaN"),
        (SCENE, SCENE * np.nan, {}, "pixels of the truth are NaN"),
        (SCENE, np.zeros_like(SCENE), {}, r"truth is constant \(0\)"),
        (SCENE, np.zeros_like(SCENE), {"data_range": 255.0}, "truth is zero everywhere"),
        (np.ones((1, 1)), np.ones((1, 1)), {}, "constant"),
        (np.ones((1, 1)), np.ones((1, 1)), {"data_range": 255.0}, "at least 11 x 11"),
        (SCENE, SCENE, {"data_range": -1.0}, "above 0; got -1.0"),
    ],
)
def test_bad_pairs_are_named(tmp_path: Path, result: Any, truth: Any, options: dict[str, float], message: str) -> None:
    files = [
        put(tmp_path / f"{name}.tif", array, "YX" if np.ndim(array) == 2 else "TYX")
        for name, array in (("result", result), ("truth", truth))
    ]
    with pytest.raises(QuietframeError, match=message):
        score(files[0], truth=files[1], **options)


def test_colour_and_missing_files_are_refused(tmp_path: Path) -> None:
    gray = put(tmp_path / "gray.tif", SCENE)
    colour = write_image(tmp_path / "colour.png", Image(np.zeros((3, 32, 40), np.uint8), "SYX"), dtype="uint8")
    with pytest.raises(InputError, match="colour picture"):
        score(colour, truth=gray)
    with pytest.raises(InputError, match="does not exist"):
        score(tmp_path / "nothing.tif", truth=gray)
    with pytest.raises(OptionError, match="above 0; got nan"):
        score(gray, truth=gray, data_range=math.nan)
