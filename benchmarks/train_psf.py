"""PSF blind spot: which point spread function fits a scene that was blurred by a known one.

The scene: fine structure (the ground truth of Confocal_BPAE_G, 256 px of it, sharpened by thresholds into points and
filaments) blurred by a Gaussian of 1 px, at most 60 photons over a background of 2, behind Poisson light and 2 e- read
noise. The same picture is learned with PSF 0.5, 1 and 1.5 px and by plain Noise2Void. 400 steps of 16 patches of
64 px, a U-Net of depth 3 with 16 filters; mean of three seeds. PSNR in dB at peak 60 against the blurred scene.
"below black": the lowest value of the net's phantom before it is cut at black, over the range of the phantom.

Run: ``python benchmarks/train_psf.py``; needs the data folder (``QUIETFRAME_DATA``).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy import ndimage
from train_rows import Limit, Row, Rows, denoise, fit, fmd, psnr

from quietframe.training.patches import collect

PEAK, BACKGROUND, READ_NOISE_E, BLUR_PX = 60.0, 2.0, 2.0, 1.0
SEEDS = (42, 43, 44)


@cache
def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return the blurred scene and what the camera sees of it."""
    picture = fmd("Confocal_BPAE_G", "gt")[128:384, 128:384].astype(np.float64)
    fine = np.clip(picture - ndimage.gaussian_filter(picture, 3), 0, None)
    phantom = fine**1.5
    clean = ndimage.gaussian_filter(phantom, BLUR_PX)
    clean = BACKGROUND + PEAK * clean / np.percentile(clean, 99.9)
    rng = np.random.default_rng(5)
    return clean, (rng.poisson(clean) + rng.normal(0, READ_NOISE_E, clean.shape)).astype(np.float32)


def measure(method: str, seed: int, **settings: float) -> Row:
    clean, noisy = scene()
    trained, cost = fit(method, collect([noisy], ["scene"]), {"filters": 16, "depth": 3, **settings}, seed=seed)
    outputs = denoise(trained, noisy)
    row: Row = {"noisy": psnr(clean, noisy, PEAK), "denoised": psnr(clean, outputs[0], PEAK)}
    if len(outputs) == 2:
        trained.module.black = -np.inf  # type: ignore[assignment]
        phantom = denoise(trained, noisy)[1]
        row["below black"] = float(max(0.0, -phantom.min()) / np.ptp(phantom))
        row["lowest given"] = float(outputs[1].min() / np.ptp(outputs[1]))
    return {**row, **cost}


def main() -> None:
    torch.set_num_threads(1)
    rows = Rows(__file__, __doc__ or "")
    kinds: dict[str, Row] = {f"PSF {sigma:g} px": {"psf_px": sigma} for sigma in (1.0, 1.5, 0.5)}
    for seed in SEEDS:
        for name, settings in kinds.items():
            rows.row(f"{name}, seed {seed}", lambda s=settings, seed=seed: measure("psf_blind_spot", seed, **s))
    rows.row("n2v, seed 42", lambda: measure("n2v", 42))
    found = {name: [rows.rows.get(f"{name}, seed {seed}") for seed in SEEDS] for name in kinds}
    limits: list[Limit] = []
    if all(all(parts) for parts in found.values()):
        mean = {name: float(np.mean([part["denoised"] for part in parts if part])) for name, parts in found.items()}
        limits = [
            Limit("PSF 1 px over 1.5 px [dB]", mean["PSF 1 px"] - mean["PSF 1.5 px"], 0.0),
            Limit("PSF 1.5 px over 0.5 px [dB]", mean["PSF 1.5 px"] - mean["PSF 0.5 px"], 0.0),
        ]
        given = [part["lowest given"] for parts in found.values() for part in parts if part]
        limits.append(Limit("lowest value of a phantom over its range", min(given), -1e-3))
    names = [f"{name}, seed {seed}" for name in kinds for seed in SEEDS]
    rows.report(limits, {"One scene blurred by 1 px": [*names, "n2v, seed 42"]})


if __name__ == "__main__":
    main()
