"""Make `vectors/ndr.json`: small ramps with the answers that Python's and Fiji's NDR code must both give.

Everything here is explicit arithmetic: differences are written out read by read, the optimal fit is the textbook
generalised least squares with the whole covariance matrix inverted in float64. No code of Quietframe is used.
Run ``python tests/ndr_vectors.py`` to write the file again; `test_ndr_vectors.py` checks that it is up to date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

PATH = Path(__file__).parent / "vectors" / "ndr.json"

ABOUT = {
    "ramp": "unsigned 16-bit reads, values[read][y][x] in ADU",
    "subtract": "difference images of the ramp. windows = [[lo, hi], ...], reads counted from 1; "
    "values[image][y][x] = read[hi] - read[lo] in ADU, signed, never clipped. "
    "guarded: the next window starts k+1 reads later (one guard read is never shared); abutting: k later; "
    "rolling: 1 later; single: only the first. A window that would end after the last read is left out",
    "subtract_refused": "options that must end in an error that names the value",
    "units": "electrons = adu * gain_e_per_adu; rate = electrons / difference / t_subframe_s",
    "weights": "optimal weights of the n_reads-1 adjacent differences, sum 1, for flux_e (e-/px/sub-frame, > 0) and "
    "read_noise_e (e- rms of one read); variance_poisson = flux_e * sum(w^2), "
    "variance_read = read_noise_e^2 * sum(a^2) with read weights a",
    "fit": "generalised least squares of the ramp in electrons with the flux_e given per pixel (for the weights and "
    "variance_poisson, nothing else). rate in e-/px/sub-frame; chi2 has n_reads-2 degrees of freedom",
    "last_first": "(last read - first read) * gain / (n_reads - 1), e-/px/sub-frame",
}

WINDOWS: list[tuple[int, int, str, list[list[int]]]] = [
    # difference, first, spacing, windows written out by hand for the 13 reads below
    (3, 1, "guarded", [[1, 4], [5, 8], [9, 12]]),
    (3, 2, "guarded", [[2, 5], [6, 9], [10, 13]]),
    (3, 1, "abutting", [[1, 4], [4, 7], [7, 10], [10, 13]]),
    (3, 2, "abutting", [[2, 5], [5, 8], [8, 11]]),
    (3, 1, "rolling", [[1, 4], [2, 5], [3, 6], [4, 7], [5, 8], [6, 9], [7, 10], [8, 11], [9, 12], [10, 13]]),
    (3, 4, "single", [[4, 7]]),
    (1, 1, "guarded", [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]]),
    (1, 10, "abutting", [[10, 11], [11, 12], [12, 13]]),
    (12, 1, "guarded", [[1, 13]]),
    (12, 1, "rolling", [[1, 13]]),
    (12, 1, "single", [[1, 13]]),
    (6, 1, "guarded", [[1, 7]]),
    (6, 1, "abutting", [[1, 7], [7, 13]]),
    (5, 2, "guarded", [[2, 7], [8, 13]]),
]

REFUSED = [
    {"difference": 13, "first": 1, "spacing": "guarded"},
    {"difference": 12, "first": 2, "spacing": "single"},
    {"difference": 0, "first": 1, "spacing": "guarded"},
    {"difference": -3, "first": 1, "spacing": "guarded"},
    {"difference": 3, "first": 0, "spacing": "guarded"},
    {"difference": 3, "first": 14, "spacing": "guarded"},
    {"difference": 3, "first": 1, "spacing": "gaurded"},
]

WEIGHTS = [
    (2, 1.0, 2.0),
    (3, 0.05, 20.0),
    (4, 0.5, 5.0),
    (13, 0.05, 5.0),
    (13, 5.0, 3.0),
    (13, 400.0, 1.0),
    (60, 0.5, 5.0),
]


def explicit_fit(reads_e: np.ndarray, flux_e: float, read_noise_e: float) -> dict[str, float]:
    """Fit one ramp by generalised least squares with its whole covariance matrix, float64.

    The reads are ``B + photons so far + read noise``; their adjacent differences d have the covariance
    ``flux + 2 s^2`` on the diagonal and ``-s^2`` beside it, built here by propagating the covariance of the reads.
    """
    n = len(reads_e)
    differencing = np.diff(np.eye(n), axis=0)
    of_reads = flux_e * np.minimum.outer(np.arange(n), np.arange(n)) + read_noise_e**2 * np.eye(n)
    inverse = np.linalg.inv(differencing @ of_reads @ differencing.T)
    difference = differencing @ reads_e
    information = inverse.sum()
    weights = inverse.sum(axis=0) / information
    of_each_read = weights @ differencing
    rate = weights @ difference
    residual = difference - rate
    return {
        "rate": float(rate),
        "variance_poisson": float(flux_e * weights @ weights),
        "variance_read": float(read_noise_e**2 * of_each_read @ of_each_read),
        "chi2": float(residual @ inverse @ residual),
    }


def explicit_weights(n_reads: int, flux_e: float, read_noise_e: float) -> np.ndarray:
    """Return the optimal weights of the adjacent differences by inverting their covariance matrix."""
    covariance = np.diag(np.full(n_reads - 1, flux_e + 2 * read_noise_e**2))
    covariance += np.diag(np.full(n_reads - 2, -(read_noise_e**2)), 1)
    covariance += np.diag(np.full(n_reads - 2, -(read_noise_e**2)), -1)
    rows = np.linalg.inv(covariance).sum(axis=0)
    return np.asarray(rows / rows.sum())


def small_ramp() -> np.ndarray:
    """Make 13 reads of 3 x 4 pixels, uint16, from dark to bright, with noise that lets some pixels fall."""
    rng = np.random.default_rng(4)
    flux = np.array([[0.0, 0.2, 1.0, 2.5], [5.0, 8.0, 13.0, 40.0], [0.5, 100.0, 300.0, 900.0]])
    collected = np.cumsum(rng.poisson(flux, (13, 3, 4)), axis=0) + rng.normal(0.0, 6.0, (13, 3, 4))
    return np.round(collected / 0.8 + rng.normal(200.0, 20.0, (3, 4))).astype(np.uint16)


def make_vectors() -> dict[str, Any]:
    """Return what `vectors/ndr.json` holds."""
    ramp = small_ramp()
    gain, noise, seconds = 0.8, 6.0, 0.25
    adu = ramp.astype(np.float64)
    flux = np.array([[0.05, 0.2, 1.0, 2.5], [5.0, 8.0, 13.0, 40.0], [0.5, 100.0, 300.0, 900.0]])
    fits = [[explicit_fit(gain * adu[:, y, x], flux[y, x], noise) for x in range(4)] for y in range(3)]
    images = [
        {
            "difference": k,
            "first": first,
            "spacing": spacing,
            "windows": windows,
            "values": [(adu[hi - 1] - adu[lo - 1]).astype(int).tolist() for lo, hi in windows],
        }
        for k, first, spacing, windows in WINDOWS
    ]
    return {
        "about": ABOUT,
        "camera": {"gain_e_per_adu": gain, "read_noise_e": noise, "t_subframe_s": seconds},
        "ramp": {"axes": "TYX", "shape": list(ramp.shape), "values": ramp.tolist()},
        "subtract": images,
        "subtract_refused": REFUSED,
        "weights": [
            {
                "n_reads": n,
                "flux_e": f,
                "read_noise_e": s,
                "weights": explicit_weights(n, f, s).tolist(),
                **{k: v for k, v in explicit_fit(np.zeros(n), f, s).items() if k.startswith("variance")},
            }
            for n, f, s in WEIGHTS
        ],
        "fit": {
            "flux_e": flux.tolist(),
            **{name: [[pixel[name] for pixel in row] for row in fits] for name in fits[0][0]},
        },
        "last_first": (gain * (adu[-1] - adu[0]) / 12).tolist(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(make_vectors(), indent=1) + "\n", encoding="utf-8")
