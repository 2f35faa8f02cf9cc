"""Noise2Noise out of one exposure: guarded windows, and one net for many differences.

One exposure of a real picture (the ground truth of Confocal_BPAE_G, 256 px square of it) behind an ideal simulated
camera: Poisson light of at most 1 e-/px/sub-frame (99.9 % of the pixels), read noise 3 e-. Judged on an exposure of the
256 px square below it, which no training saw, against the scene (clean targets would otherwise teach the scene by
heart); PSNR in dB, peak: the range of the scene (percentiles 0.1 to 99.9) times the difference.
A U-Net of depth 2 with 16 filters, 400 steps of 16 patches of 64 px, seed 42.

"guarded": pictures and targets as ``quietframe train n2n EXPOSURE --difference K`` makes them of 300 reads. "clean":
the same differences, with the scene as target. "abutting": pairs of neighbouring windows that share a read, which the
command refuses. "all": one net for five differences of 1010 reads, told the noise level, of 2000 steps of 8 patches;
"alone": one net for each, of 400 steps of 8 patches, so that all five together cost what the one does.

Run: ``python benchmarks/train_exposure.py``; needs the data folder (``QUIETFRAME_DATA``).
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from train_rows import Limit, Row, Rows, denoise, fit, fmd

from quietframe.camera import Camera
from quietframe.images import Image, write_image
from quietframe.ndr.simulate import scene_from_image, simulate_exposure
from quietframe.ndr.simulated_camera import SimulatedCamera
from quietframe.training.checkpoint import Trained
from quietframe.training.exposures import ExposureRequest
from quietframe.training.patches import NoiseLevel, Pictures, collect
from quietframe.training.reading import ReadRequest, read_training

GAIN, READ_NOISE_E = 0.46, 3.0
K = 5
DIFFERENCES = (1, 5, 20, 100, 250)
NET = {"filters": 16}


@cache
def scene(part: str) -> np.ndarray:
    """Flux of the part to train on, or of the one to judge on [e-/px/sub-frame]."""
    both = scene_from_image(fmd("Confocal_BPAE_G", "gt")[:, 128:384], 1.0, background_e=0.02)[0].astype(np.float64)
    return both[:256] if part == "train" else both[256:]


@cache
def exposure(reads: int, part: str) -> np.ndarray:
    ideal = SimulatedCamera(
        reads=reads, gain_e_per_adu=GAIN, read_noise_e=READ_NOISE_E, read_noise_spread=0, prnu=0, dark_e=0,
        hot_fraction=0, nonlinearity=0, row_noise_e=0, drift_e=0,
    )  # fmt: skip
    return simulate_exposure(scene(part), ideal, np.random.default_rng(1 if part == "train" else 2))[0]


def training(reads: int, differences: tuple[int, ...]) -> Pictures:
    """Return what the command trains on."""
    camera = Camera(gain_e_per_adu=GAIN, read_noise_e=READ_NOISE_E)
    request = ReadRequest(
        data="repeats", method="n2n", exposure=ExposureRequest(difference=differences, camera=camera, first=1)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exposure.tif"
        write_image(path, Image(exposure(reads, "train"), "TYX", {}, None, {}), dtype="uint16")
        return read_training([path], None, request)[0]


def windows(reads: int, difference: int, step: int, part: str = "train") -> np.ndarray:
    """Return differences that begin `step` reads apart [e-], float32."""
    ramp = exposure(reads, part).astype(np.float32)
    starts = range(0, reads - difference, step)
    return np.stack([ramp[a + difference] - ramp[a] for a in starts]) * np.float32(GAIN)


def judge(trained: Trained, difference: int, count: int = 3) -> float:
    """PSNR over `count` differences of another exposure."""
    pictures = windows(difference * count + 1, difference, difference, "judge")
    truth = difference * scene("judge")
    peak = float(np.ptp(np.percentile(truth, [0.1, 99.9])))
    errors = [np.mean((denoise(trained, picture)[0] - truth) ** 2) for picture in pictures]
    return float(10 * np.log10(peak**2 / np.mean(errors)))


def guarded() -> Row:
    trained, cost = fit("n2n", training(300, (K,)), NET)
    return {"psnr": judge(trained, K), **cost}


def clean() -> Row:
    inputs = windows(300, K, K + 1)
    noise = NoiseLevel(1.0, 2 * READ_NOISE_E**2)
    pictures = collect(
        [inputs], ["inputs"], [np.broadcast_to(np.float32(K * scene("train")), inputs.shape)], noise=noise
    )
    trained, cost = fit("n2n", pictures, {**NET, "direction": "forward"})
    return {"psnr": judge(trained, K), **cost}


def abutting() -> Row:
    parts = windows(300, K, K)
    noise = NoiseLevel(1.0, 2 * READ_NOISE_E**2)
    pictures = collect([parts[:-1]], ["inputs"], [parts[1:]], noise=noise)
    trained, cost = fit("n2n", pictures, NET)
    return {"psnr": judge(trained, K), **cost}


def alone(difference: int) -> Row:
    trained, cost = fit("n2n", training(1010, (difference,)), NET, batch_size=8)
    return {"psnr": judge(trained, difference), **cost}


def together(steps: int = 2000) -> Row:
    trained, cost = fit("n2n", training(1010, DIFFERENCES), NET, batch_size=8, steps=steps)
    return {**{f"psnr {k}": judge(trained, k) for k in DIFFERENCES}, **cost}


def unconditioned() -> Row:
    trained, cost = fit("n2n", training(1010, DIFFERENCES), {**NET, "noise_level": "off"}, batch_size=8, steps=2000)
    return {**{f"psnr {k}": judge(trained, k) for k in DIFFERENCES}, **cost}


def limits(rows: Rows) -> list[Limit]:
    found: list[Limit] = []
    table = rows.rows
    if {"guarded", "clean"} <= set(table):
        found.append(
            Limit("guarded: below clean targets [dB]", table["clean"]["psnr"] - table["guarded"]["psnr"], high=0.1)
        )
    if {"abutting", "clean"} <= set(table):
        lost = table["clean"]["psnr"] - table["abutting"]["psnr"]
        found.append(Limit("abutting: below clean targets [dB]", lost, 3.0))
    for k in DIFFERENCES:
        if {"all", f"alone {k}"} <= set(table):
            lost = table[f"alone {k}"]["psnr"] - table["all"][f"psnr {k}"]
            found.append(Limit(f"one net for all, difference {k}: below one alone [dB]", lost, high=0.3))
    return found


def main() -> None:
    rows = Rows(__file__, __doc__ or "")
    rows.row("guarded", guarded)
    rows.row("clean", clean)
    rows.row("abutting", abutting)
    rows.row("all", together)
    rows.row("all, 400 steps", lambda: together(400))
    for k in DIFFERENCES:
        rows.row(f"alone {k}", lambda k=k: alone(k))
    rows.row("all, not told the noise", unconditioned)
    tables = {
        f"Difference {K} of 300 reads": ["guarded", "clean", "abutting"],
        "Differences 1 to 250 of 1010 reads": [
            "all", "all, 400 steps", "all, not told the noise", *(f"alone {k}" for k in DIFFERENCES),
        ],
    }  # fmt: skip
    rows.report(limits(rows), tables)


if __name__ == "__main__":
    main()
