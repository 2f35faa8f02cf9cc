"""The main job through the command line on real and simulated exposures: fit, subtract, train, denoise, judge.

No option but --difference, and few steps; what the numbers of the parts must be is tested with the parts.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from quietframe import cli
from quietframe.images import read_image, write_image

STEPS = "10"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """Run a command with --json; it must end well, say nothing on stderr, and print JSON without NaN."""
    capsys.readouterr()
    code = cli.run([*map(str, words), "--json"])
    written = capsys.readouterr()
    assert (code, written.err) == (0, "")
    answer: dict[str, Any] = json.loads(written.out, parse_constant=pytest.fail)
    return answer


def test_real_and_simulated_exposures_go_from_ramp_to_report(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exposures = {"wfc3": "ndr_real/wfc3_ramp_electrons.tif", "nuclei": "ndr_simulated/nuclei_lowflux_ramp1.tif"}
    for name, file in exposures.items():
        source, place = data_dir / file, tmp_path / name
        place.mkdir()
        fitted = run(capsys, "ndr", "fit", source, place / "RATE.tif")
        assert np.isfinite(read_image(place / "RATE.tif").array).all()
        run(capsys, "ndr", "subtract", source, place / "D001.tif", "--difference", 1)
        trained = run(capsys, "train", "n2v", place / "RATE.tif", "--out", place / "run", "--steps", STEPS)
        assert (trained["steps"], trained["stopped"]) == (int(STEPS), "")
        model = place / "run" / "model.zip"
        for picture in ("RATE", "D001"):
            noisy, clean = place / f"{picture}.tif", place / f"{picture}_DENOISED.tif"
            done = run(capsys, "denoise", noisy, clean, "--model", model)
            before, after = read_image(noisy), read_image(clean)
            assert (done["axes"], after.axes, after.array.shape) == (before.axes, before.axes, before.array.shape)
            assert np.isfinite(after.array).all()
            assert after.info["ndr.reads_used"] == before.info["ndr.reads_used"]
        judged = {
            "alone": run(capsys, "judge", place / "RATE.tif", place / "RATE_DENOISED.tif", "--out", place / "a.html"),
            "stack": run(capsys, "judge", place / "D001.tif", place / "D001_DENOISED.tif", "--out", place / "d.html"),
        }
        # a fit uses every read: without more there is no error to state, and none is
        assert (judged["alone"]["evidence"], judged["alone"]["rms"]) == ("none", None)
        assert judged["stack"]["evidence"] == "frames"
        assert len(judged["stack"]["frames"]) == fitted["last"] // 2
        for report in ("a.html", "d.html"):
            assert (place / report).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_judged_error_of_simulated_frames_is_their_error_against_the_truth(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The truth is known because the ramp is simulated; the judge does not see it."""
    folder = data_dir / "ndr_simulated"
    run(capsys, "ndr", "subtract", folder / "nuclei_lowflux_ramp1.tif", tmp_path / "D.tif", "--difference", 1)
    noisy = read_image(tmp_path / "D.tif")
    blurred = ndimage.gaussian_filter(noisy.array, (0, 1, 1))
    write_image(tmp_path / "B.tif", replace(noisy, array=blurred))
    out = run(capsys, "judge", tmp_path / "D.tif", tmp_path / "B.tif", "--out", tmp_path / "judge.html")
    masks = np.load(folder / "nuclei_lowflux_truth_masks.npz")
    jumps = np.unpackbits(masks["jumps"], axis=-1).reshape(masks["jumps_shape"]).astype(bool)[0].any(axis=0)
    clean = ~ndimage.binary_dilation(jumps, iterations=4)
    rate = read_image(folder / "nuclei_lowflux_truth_rate.tif").array
    truth = (rate + masks["dark"]) * 0.1  # e-/s in sub-frames of 0.1 s; one ADU is one electron here
    for prefix, picture in (("noisy_", noisy.array), ("", blurred)):
        true = float(np.mean((picture - truth)[:, clean] ** 2))
        # three standard errors of the judge's, and the jumps that its six standard deviations let pass: 330 of them in
        # 8 x 65536 pixels, each below (6 x 17)^2
        assert out[f"{prefix}mse"] == pytest.approx(true, abs=3 * out[f"{prefix}mse_standard_error"] + 1)
    assert out["improvement_db"] > 8
