"""CARE with error bars: are the errors as large as the scale says.

Real pictures (ground truths of ``data/fmd``, scaled to at most 60 photons over a background of 5) behind a simulated
camera: Poisson light and 2 e- read noise. Learned on the upper half of three scenes, judged on their lower halves with
new noise, and on a scene of another kind that was not in the training. "standardised std": the standard deviation of
error / (scale * sqrt(2)), 1 where the scale is right, because the standard deviation of a Laplace distribution is
sqrt(2) times its scale. "inside 90 %": the share of pixels within scale * ln 10, 0.9 of a Laplace distribution.
"rank": Spearman's correlation of scale and absolute error, over blocks of 8 x 8 pixels. 400 steps of 16 patches of
64 px, a U-Net of depth 2 with 16 filters, seed 42; PSNR in dB at peak 60.

Run: ``python benchmarks/train_laplace.py``; needs the data folder (``QUIETFRAME_DATA``).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from train_rows import Limit, Row, Rows, denoise, fit, fmd, psnr

from quietframe.training.patches import collect

SEEN = ("Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_FISH")
UNSEEN = "TwoPhoton_MICE"
PEAK, BACKGROUND, READ_NOISE_E = 60.0, 5.0, 2.0


def scene(name: str) -> np.ndarray:
    picture = fmd(name, "gt").astype(np.float64)
    low, high = np.percentile(picture, [0.1, 99.9])
    return BACKGROUND + PEAK * np.clip((picture - low) / (high - low), 0, 1)


def observed(clean: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.poisson(clean) + rng.normal(0, READ_NOISE_E, clean.shape)).astype(np.float32)


def blocks(picture: np.ndarray, size: int = 8) -> np.ndarray:
    """Return the means of blocks, flat."""
    height, width = (length // size * size for length in picture.shape)
    parts = picture[:height, :width].reshape(height // size, size, width // size, size)
    return np.asarray(parts.mean(axis=(1, 3)).ravel())


def judged(clean: np.ndarray, noisy: np.ndarray, location: np.ndarray, scale: np.ndarray) -> Row:
    error = location - clean
    return {
        "noisy": psnr(clean, noisy, PEAK),
        "denoised": psnr(clean, location, PEAK),
        "standardised std": float(np.std(error / (scale * math.sqrt(2)))),
        "inside 90 %": float(np.mean(np.abs(error) <= scale * math.log(10))),
        "rank": float(stats.spearmanr(blocks(scale), blocks(np.abs(error))).statistic),
    }


def main() -> None:
    rows = Rows(__file__, __doc__ or "")
    names = [f"{name}, lower half" for name in SEEN] + [f"{UNSEEN}, another kind"]
    if any(name not in rows.rows for name in names) or rows.again is not None:
        half = 256
        clean = [scene(name)[:half] for name in SEEN]
        noisy = [observed(picture, seed) for seed, picture in enumerate(clean)]
        targets = [picture.astype(np.float32) for picture in clean]
        trained, cost = fit("care_laplace", collect(noisy, SEEN, targets), {"filters": 16})
        rows.row("training", lambda: cost)
        for seed, name in enumerate((*SEEN, UNSEEN), start=10):
            truth = scene(name)
            picture = observed(truth, seed)
            part = slice(half, None) if name in SEEN else slice(None)
            row = judged(truth[part], picture[part], *(result[part] for result in denoise(trained, picture)))
            rows.row(names[seed - 10], lambda row=row: row)
    limits = [
        Limit(f"standardised std, {name}", rows.rows[name]["standardised std"], 0.8, 1.25)
        for name in names[:-1]
        if name in rows.rows
    ]
    rows.report(limits, {"Held-out pictures": names, "Training": ["training"]})


if __name__ == "__main__":
    main()
