"""The demo: from an exposure's sub-frames to a report, with ImageJ and without."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe import cli
from quietframe.images import Image, read_image, write_image
from quietframe.ndr import SimulatedCamera, simulate_exposure

READS = 30


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small exposure of two stripes; 30 reads give differences of 3 sub-frames."""
    y, x = np.mgrid[:96, :96]
    scene = 5.0 + 40.0 * (np.hypot(y - 30, x - 40) < 15) + 20.0 * (abs(x - y) < 5)
    camera = SimulatedCamera(reads=READS, hot_fraction=0.0)
    reads, _ = simulate_exposure(scene.astype(np.float32), camera, np.random.default_rng(5))
    path = tmp_path_factory.mktemp("exposure") / "small_E0001_NDR.tif"
    info = {"ndr.gain_e_per_adu": "0.46", "ndr.read_noise_e": "3.0"}
    write_image(path, Image(reads, "TYX", {}, 1e-3, info), dtype="uint16")
    return path


def run_demo(quietframe: Callable[..., Any], exposure: Path, out: Path, **options: Any) -> dict[str, Any]:
    done = quietframe("demo", "--exposure", exposure, "--out", out, "--steps", 3, "--json", timeout=280, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.slow
def test_demo_ends_well_and_says_why_where_imagej_cannot_run(
    exposure: Path, tmp_path: Path, quietframe: Callable[..., Any], browse: Callable[[str], tuple[dict[str, str], str]]
) -> None:
    # No cached jars and a network that answers nothing.
    nowhere = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "M2_REPO": str(tmp_path / "m2")}
    nowhere |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")
    result = run_demo(quietframe, exposure, tmp_path / "out", env={**os.environ, **nowhere})
    assert "could not be fetched from Maven Central" in result["imagej"]["why_not"]
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "ImageJ: not run" in page.replace("<strong>", "").replace("</strong>", "")
    body, _ = browse(page)
    assert body["data-loaded"] == "5/5"
    assert body["data-requests"] == "0"


@pytest.mark.slow
def test_demo_in_imagej_gives_pythons_pixels_and_snr(
    exposure: Path, tmp_path: Path, quietframe: Callable[..., Any]
) -> None:
    result = run_demo(quietframe, exposure, tmp_path / "out")
    if result["imagej"]["why_not"]:
        pytest.skip(f"ImageJ cannot run here: {result['imagej']['why_not']}")
    assert result["imagej"]["max_difference"] <= 1e-5
    assert [row["name"] for row in result["pictures"]] == ["Difference 3", "Optimal fit", "N2V", "CARE"]
    for row in result["pictures"][2:]:
        assert row["snr_imagej"] == pytest.approx(row["snr"], rel=1e-6)
    # The difference image's own error is its noise: sqrt(3 x 5 ... 45 e- + 2 x 3^2) lies between 5.7 and 12.4 e-.
    assert 5.7 < result["pictures"][0]["error_from_reads"] < 12.4
    assert result["pictures"][1]["error_from_reads"] < 0.6 * result["pictures"][0]["error_from_reads"]
    noisy = read_image(tmp_path / "out" / "noisy_D003.tif")
    assert noisy.array.shape == (6, 96, 96)
    assert noisy.info["ndr.unit"] == "electrons"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "out").mkdir() or (folder / "out" / "a").touch(), "is not empty"),
        (lambda folder: (folder / "out").touch(), "is a file"),
    ],
)
def test_demo_does_not_write_over_what_it_did_not_make(
    make: Callable[[Path], Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path)
    assert cli.run(["demo", "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_demo_refuses_an_exposure_that_is_too_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.tif"
    write_image(path, Image(np.random.default_rng(1).normal(500, 9, (5, 32, 32)), "TYX", {}, None, {}))
    assert cli.run(["demo", "--exposure", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "too few to train and judge" in capsys.readouterr().err


def test_an_imagej_that_takes_too_long_is_left_behind(
    exposure: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quietframe.progress import silent
    from quietframe.verbs import demo_steps

    def never(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("imagej", options["timeout"])

    stage = demo_steps.Stage(tmp_path, False, silent)
    ramp = demo_steps.prepare(stage, exposure, None)
    monkeypatch.setattr(subprocess, "run", never)
    answer = demo_steps.run_in_imagej(stage, ramp, {}, {})
    assert answer.line() == f"ImageJ: not run (it took more than {demo_steps.IMAGEJ_TIMEOUT_S} s)"
