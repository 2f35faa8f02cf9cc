"""Numbers of parts of one exposure: pairs, halves, fitted windows. Run: ``python benchmarks/ndr_pairs.py``.

Writes ``results/ndr_pairs.json`` and ``.md``. Everything is seeded; nothing is timed; no data is needed.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
from scipy import ndimage

from quietframe.camera import Camera
from quietframe.metrics.repeats import mse_from_repeat
from quietframe.ndr.fit import FitTuning, fit_ramp
from quietframe.ndr.fit_window import fit_windows, snr_gain
from quietframe.ndr.pairs import PairRequest, leak, make_pairs, noise_correlation
from quietframe.ndr.split import split_halves

RESULTS = Path(__file__).resolve().parent / "results"
Row = dict[str, object]


def ramps(rng: np.random.Generator, flux: np.ndarray, n_reads: int, noise: float) -> np.ndarray:
    reads = np.cumsum(rng.poisson(flux, (n_reads, *flux.shape)), axis=0, dtype=np.float32)
    reads += noise * rng.standard_normal(reads.shape, dtype=np.float32)
    return reads + (25.0 * rng.standard_normal(flux.shape) + 500.0).astype(np.float32)


def correlations() -> list[Row]:
    """Noise correlation of two parts of one exposure, 200 x 200 px (0.005 per sigma), and its formula."""
    rows: list[Row] = []
    for k, noise, flux in ((1, 5.0, 0.2), (20, 5.0, 0.2), (20, 5.0, 5.0), (50, 1.0, 20.0)):
        rng = np.random.default_rng(k)
        reads = ramps(rng, np.full((200, 200), flux), max(2 * k + 3, 101), noise)
        half = max(k // 2, 1)
        kinds = {
            "guard 1": ((0, k), (k + 1, 2 * k + 1)),
            "guard 2": ((0, k), (k + 2, 2 * k + 2)),
            "abutting": ((0, k), (k, 2 * k)),
            "half overlap": ((0, k), (half, half + k)) if k > 1 else None,
            "same first read, k and 2k": ((0, k), (0, 2 * k)),
            "report: k and read 100 - read 1": ((0, k), (0, 99)),
        }
        for name, pair in kinds.items():
            if pair is None:
                continue
            one, other = (reads[b] - reads[a] for a, b in pair)
            measured = float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
            rows.append(
                {
                    "k": k, "s": noise, "f": flux, "parts": name, "measured": measured,
                    "formula": noise_correlation(*pair, flux, noise),
                }
            )  # fmt: skip
    return rows


def pairs_as_made() -> list[Row]:
    """Correlation of the members of pairs as ``ndr split`` makes them, mean over all pairs of one exposure."""
    rows: list[Row] = []
    rng = np.random.default_rng(9)
    reads = ramps(rng, np.full((200, 200), 0.2), 210, 5.0)
    for guard in (1, 2):
        pairs = make_pairs(210, PairRequest(20, guard=guard))
        values = [
            np.corrcoef((reads[b] - reads[a]).ravel(), (reads[d] - reads[c]).ravel())[0, 1]
            for (a, b), (c, d) in zip(pairs.inputs, pairs.targets, strict=True)
        ]
        worst = float(np.abs(values).max())
        rows.append({"pairs": f"n2n, guard {guard}", "mean": float(np.mean(values)), "largest": worst, "expected": 0.0})
    pairs = make_pairs(210, PairRequest(20, "report"))
    for noisy, target in zip(pairs.inputs, pairs.targets, strict=True):
        one, other = ((reads[b] - reads[a]).ravel() for a, b in (noisy, target))
        slope = float(np.cov(one, other)[0, 1] / one.var() * 20 / 99)
        said = leak(noisy, target, 0.2, 5.0)
        name = f"report, input reads {noisy[0] + 1}-{noisy[1] + 1}: noise in the target"
        rows.append({"pairs": name, "mean": slope, "largest": slope, "expected": said})
    return rows


def scene(side: int) -> np.ndarray:
    """Make filaments and blobs, 0.1 to about 2 e-/px/sub-frame."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side].astype(float)
    flux = np.full((side, side), 0.1)
    for _ in range(side // 8):
        cy, cx, width, height = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(2, 8), rng.uniform(0.3, 1.5)
        flux += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    for _ in range(12):
        angle, place = rng.uniform(0, np.pi), rng.uniform(-side / 2, side / 2)
        distance = (x - side / 2) * np.cos(angle) + (y - side / 2) * np.sin(angle) - place
        flux += rng.uniform(0.3, 1.2) * np.exp(-(distance**2) / (2 * 1.5**2))
    return flux


def invent(image: np.ndarray) -> np.ndarray:
    """Add twelve spots that are not there."""
    spots = np.zeros_like(image)
    rng = np.random.default_rng(4)
    for _ in range(12):
        spots[tuple(rng.integers(10, image.shape[0] - 10, 2))] = 12.0
    return ndimage.gaussian_filter(image, 0.8) + ndimage.gaussian_filter(spots, 1.5)


FILTERS = {
    "identity": lambda a: a,
    "gaussian 0.8": lambda a: ndimage.gaussian_filter(a, 0.8),
    "gaussian 3": lambda a: ndimage.gaussian_filter(a, 3.0),
    "median 3 x 3": lambda a: ndimage.median_filter(a, 3),
    "12 invented spots": invent,
    "10 % dimmer": lambda a: 0.9 * ndimage.gaussian_filter(a, 0.8),
}


def halves(exposures: int = 6, side: int = 256) -> list[Row]:
    """Mean squared error without truth, from the other half, against the true one; 102 reads, read noise 5 e-."""
    flux, camera = scene(side), Camera(1.0, 5.0)
    cut = split_halves(102)
    sums = {name: np.zeros(3) for name in FILTERS}
    for seed in range(exposures):
        reads = ramps(np.random.default_rng(100 + seed), flux, 102, 5.0)
        a, b = (
            fit_ramp(reads, camera, first=first, last=last, tuning=FitTuning(None)) for first, last in (cut.a, cut.b)
        )
        for name, apply in FILTERS.items():
            result = apply(a.rate)
            true = float(np.mean((result.astype(np.float64) - flux) ** 2))
            own = mse_from_repeat(result, a.rate, a.variance).mse
            sums[name] += (true, mse_from_repeat(result, b.rate, b.variance).mse, own)
    means = {name: values / exposures for name, values in sums.items()}
    return [
        {"denoiser": name, "true": float(true), "from the other half": float(estimate),
         "difference %": float(100 * (estimate / true - 1)), "from its own half (useless)": float(own)}
        for name, (true, estimate, own) in means.items()
    ]  # fmt: skip


def window_gains() -> list[Row]:
    """SNR of the fit of k + 1 reads over that of two reads: predicted, and measured on at least 60000 ramps."""
    rows: list[Row] = []
    cases = ((1, 0.2), (2, 0.2), (5, 0.2), (10, 0.2), (2, 2.0), (5, 2.0), (10, 2.0), (5, 20.0))
    for k in (5, 20, 50, 250):
        for noise, flux in cases:
            repeats, spread, fitted, predicted = max(1, 60000 // 128**2 + 1), [], [], []
            for seed in range(repeats):
                reads = ramps(np.random.default_rng(1000 * k + seed), np.full((128, 128), flux), k + 1, noise)
                fit = next(iter(fit_windows(reads, [(0, k)], Camera(1.0, float(noise)))))
                spread.append(np.var((reads[k] - reads[0]).astype(np.float64) - k * flux))
                fitted.append(np.mean((fit.difference.astype(np.float64) - k * flux) ** 2))
                predicted.append(float(fit.variance.mean()))
            rows.append(
                {
                    "k": k, "s": noise, "f": flux, "predicted": snr_gain(k, flux, noise),
                    "measured": float(np.sqrt(np.mean(spread) / np.mean(fitted))),
                    "variance said / measured": float(np.mean(predicted) / np.mean(fitted)),
                }
            )  # fmt: skip
    return rows


TITLES = {
    "correlations": "Noise correlation of two differences of one exposure",
    "pairs": "Pairs as `ndr split --pairs 20` makes them (s = 5, f = 0.2)",
    "halves": "Error of a denoiser without truth, from disjoint halves [(e-/px/sub-frame)^2]",
    "windows": "SNR gain of `ndr subtract --fit-window` over two reads",
}


def table(rows: list[Row]) -> list[str]:
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "--|" * len(rows[0])]
    for row in rows:
        cells = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    made = {"correlations": correlations(), "pairs": pairs_as_made(), "halves": halves(), "windows": window_gains()}
    machine = f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, **made}, indent=1) + "\n"
    (RESULTS / "ndr_pairs.json").write_text(text, encoding="utf-8")
    lines = ["# NDR: parts of one exposure", "", f"Machine: {machine}. Made by `benchmarks/ndr_pairs.py`.", ""]
    lines += ["k: sub-frames of a difference; s: read noise [e-]; f: flux [e-/px/sub-frame].", ""]
    for name, rows in made.items():
        lines += [f"## {TITLES[name]}", "", *table(rows), ""]
    (RESULTS / "ndr_pairs.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
