"""Noise2Void on a real two-photon picture, as the benchmark measures it, in a run short enough for every test run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imread

from quietframe.methods import n2v
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job, train
from quietframe.training.patches import collect
from quietframe.training.schedule import Schedule


@pytest.mark.slow
def test_n2v_on_one_two_photon_picture_reaches_careamics_in_fewer_steps(data_dir: Path, tmp_path: Path) -> None:
    noisy = imread(data_dir / "fmd/TwoPhoton_MICE_raw1.png")
    truth = imread(data_dir / "fmd/TwoPhoton_MICE_gt.png").astype(np.float64)
    train(Job("n2v", n2v, n2v.Settings(), Schedule(steps=160), collect([noisy], ["noisy"]), tmp_path / "run"))
    with torch.inference_mode():
        tensor = torch.from_numpy(noisy.astype(np.float32))[None, None]
        result = load_trained(tmp_path / "run").module(tensor)[0, 0].numpy().astype(np.float64)

    def psnr(picture: np.ndarray) -> float:
        return float(10 * np.log10(255**2 / np.mean((picture - truth) ** 2)))

    slope, offset = np.polyfit(result.ravel(), truth.ravel(), 1)
    # CAREamics after 400 steps of the same size: 31.12 dB, and 33.78 dB after the best a x + b (this frame is 13 %
    # brighter than the truth, which alone limits the first figure to 34.7 dB); the noisy picture has 24.32 and 27.13
    assert psnr(result) >= 31.1
    assert psnr(slope * result + offset) >= 33.78
