"""Makes tests/vectors/ndr_fit.json: ramps with their fit by explicit matrices, for Python and for Fiji.

Run it after a change: ``python tests/ndr_fit_vectors.py``. Nothing here uses Quietframe's own fit: rates are
generalised least squares with the inverted covariance of the reads, jumps and saturated ends are known because they
are put in.
"""

from __future__ import annotations

import json
import runpy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

PATH = Path(__file__).parent / "vectors" / "ndr_fit.json"
ABOUT = (
    "Ramps in ADU and their fit, e-/px/sub-frame, with the flux that weights and variances are made for; reads count "
    "from 0. Written by tests/ndr_fit_vectors.py; see there."
)
READS, GAIN, NOISE, JUMP_SIGMA = 24, 0.5, 4.0, 5.0
SATURATION = 50000.0
SATURATED, JUMP, UNUSABLE = 1, 2, 8
# Powers of two, so that float32 holds them exactly.
FLUX = np.array([[0.0625, 0.25, 1.0, 4.0], [16.0, 64.0, 256.0, 1024.0], [0.125, 0.5, 2.0, 8.0]])
STEPS = {(0, 1): [(8, 300.0)], (2, 1): [(4, 200.0), (15, -350.0)], (1, 1): [(11, 700.0)]}
"""Jumps: pixel -> places (a step between read i and i + 1) and sizes [e-]."""
SATURATES = {(1, 3): 9, (2, 3): 3, (1, 2): 1, (0, 0): 22}
"""Pixel -> first saturated read."""

explicit = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("ndr_vectors.py"))))


def make_ramps() -> np.ndarray:
    """Return uint16 ramps (N, Y, X) with jumps and saturated ends."""
    rng = np.random.default_rng(11)
    electrons = np.cumsum(rng.poisson(FLUX, (READS, *FLUX.shape)), axis=0) + rng.normal(
        0.0, NOISE, (READS, *FLUX.shape)
    )
    for (y, x), steps in STEPS.items():
        for place, size in steps:
            electrons[place + 1 :, y, x] += size
    ramps = np.round(electrons / GAIN + 1000.0).astype(np.uint16)
    for (y, x), read in SATURATES.items():
        ramps[read:, y, x] = 60000
    return ramps


def covariance(n: int, flux: float) -> np.ndarray:
    """Return the covariance of the n - 1 differences of a ramp."""
    step = np.diff(np.eye(n), axis=0)
    index = np.arange(n)
    return np.asarray(step @ (flux * np.minimum.outer(index, index) + NOISE**2 * np.eye(n)) @ step.T)


def significance(ramp_e: np.ndarray, flux: float) -> np.ndarray:
    """Return how many sigma a step at each place is away from 0, after the rate is fitted."""
    inverse = np.linalg.inv(covariance(len(ramp_e), flux))
    ones = inverse.sum(axis=0)
    difference = np.diff(ramp_e)
    rate = ones @ difference / ones.sum()
    return np.asarray(inverse @ (difference - rate) / np.sqrt(np.diag(inverse) - ones**2 / ones.sum()))


def pieces_of(ramp_e: np.ndarray, places: list[int]) -> list[tuple[int, int]]:
    """Return the pieces of two reads or more between the jumps."""
    edges = [0, *(place + 1 for place in sorted(places)), len(ramp_e)]
    return [(a, b) for a, b in pairwise(edges) if b - a >= 2]


def fit_pixel(ramp_e: np.ndarray, flux: float, jumps: list[int]) -> dict[str, float]:
    """Fit each piece with its covariance matrix, and combine the rates by their inverse variance."""
    fits = [explicit.explicit_fit(ramp_e[a:b], flux, NOISE) for a, b in pieces_of(ramp_e, jumps)]
    trust = np.array([1.0 / (fit["variance_poisson"] + fit["variance_read"]) for fit in fits])
    shares = trust / trust.sum()
    return {
        "rate": float(sum(share * fit["rate"] for share, fit in zip(shares, fits, strict=True))),
        **{
            name: float(sum(share**2 * fit[name] for share, fit in zip(shares, fits, strict=True)))
            for name in ("variance_poisson", "variance_read")
        },
    }


def make_vectors() -> dict[str, Any]:
    """Return what `vectors/ndr_fit.json` holds."""
    ramps = make_ramps()
    planes: dict[str, Any] = {
        name: np.full(FLUX.shape, np.nan) for name in ("rate", "variance_poisson", "variance_read")
    }
    flags, used = np.zeros(FLUX.shape, int), np.zeros(FLUX.shape, int)
    for (y, x), flux in np.ndenumerate(FLUX):
        length = SATURATES.get((y, x), READS)
        jumps = [place for place, _ in STEPS.get((y, x), [])]
        flags[y, x] = SATURATED * (length < READS) | JUMP * bool(jumps) | UNUSABLE * (length < 2)
        ramp_e = GAIN * ramps[:length, y, x].astype(np.float64)
        used[y, x] = sum(b - a for a, b in pieces_of(ramp_e, jumps)) if length >= 2 else length
        if length >= 2:
            for name, value in fit_pixel(ramp_e, float(flux), jumps).items():
                planes[name][y, x] = value
    return {
        "about": ABOUT,
        "camera": {"gain_e_per_adu": GAIN, "read_noise_e": NOISE},
        "jump_sigma": JUMP_SIGMA,
        "saturation_adu": SATURATION,
        "flux_e": FLUX.tolist(),
        "ramp": {"axes": "TYX", "shape": list(ramps.shape), "values": ramps.tolist()},
        "flags": flags.tolist(),
        "n_used": used.tolist(),
        **{name: [[None if np.isnan(v) else v for v in row] for row in plane] for name, plane in planes.items()},
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(make_vectors(), indent=1) + "\n", encoding="utf-8")
