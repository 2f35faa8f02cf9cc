"""Speed and memory of the NDR room: the fit against a recursion per pixel, and whole files.

Part of ``ndr_exposure.py``, which runs it. Speeds are the best of some calls; ratios are of seconds of CPU, so that
other work on the machine disturbs them less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from quietframe.camera import Camera
from quietframe.images import ImageMeta, write_planes
from quietframe.ndr.fit import FitTuning, fit_ramp


def ramps(rng: np.random.Generator, flux: np.ndarray, n_reads: int, noise: Any) -> np.ndarray:
    """Make reads in electrons, float32."""
    reads = np.cumsum(rng.poisson(flux, (n_reads, *flux.shape)), axis=0, dtype=np.float32)
    reads += noise * rng.standard_normal(reads.shape, dtype=np.float32)
    return reads + (25.0 * rng.standard_normal(flux.shape) + 500.0).astype(np.float32)


def recursion(reads: np.ndarray, noise: float, *, test: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit row after row by the recursions for determinants of leading and trailing blocks (Brandt 2024), float64.

    With ``a_i`` on the diagonal and ``b_i`` beside it: ``theta_i = a_i theta_{i-1} - b_{i-1}^2 theta_{i-2}`` forwards,
    ``phi`` alike backwards; the inverse times ones, and times the differences, from two more each. As there, each pixel
    has its own matrix, made from its own mean difference; rate, variance and chi2 come out, or without `test` rate and
    variance alone. (The published program needs 1.3 times as long: it also scales each matrix and masks differences.)
    """
    rates, variances, chi2 = (np.empty(reads.shape[1:]) for _ in range(3))
    for y in range(reads.shape[1]):
        step = np.diff(reads[:, y].astype(np.float64), axis=0)
        n, width = step.shape
        flux = np.maximum(step.mean(axis=0), 0.0)
        scale = flux + 2 * noise**2
        diagonal, beside = np.broadcast_to((flux + 2 * noise**2) / scale, step.shape), np.full((n, width), -(noise**2))
        beside = beside / scale
        theta, phi = np.ones((n + 1, width)), np.ones((n + 2, width))
        theta[1] = diagonal[0]
        phi[n - 1] = diagonal[n - 1]
        for i in range(2, n + 1):
            theta[i] = diagonal[i - 1] * theta[i - 1] - beside[i - 2] ** 2 * theta[i - 2]
        for i in range(n - 2, -1, -1):
            phi[i] = diagonal[i] * phi[i + 1] - beside[i] ** 2 * phi[i + 2]
        solved = []
        for right in (np.ones_like(step), step)[: 2 if test else 1]:
            forward, backward = np.zeros((n + 1, width)), np.zeros((n + 2, width))
            for i in range(1, n + 1):
                forward[i] = theta[i - 1] * right[i - 1] - beside[i - 2] * forward[i - 1]
            for i in range(n - 1, 0, -1):
                backward[i] = -beside[i - 1] * (phi[i + 1] * right[i] + backward[i + 1])
            solved.append((phi[1 : n + 1] * forward[1:] + theta[:n] * backward[1 : n + 1]) / (theta[n] * scale))
        total = solved[0].sum(axis=0)
        rates[y], variances[y] = (solved[0] * step).sum(axis=0) / total, 1.0 / total
        if test:
            chi2[y] = (solved[1] * step).sum(axis=0) - rates[y] ** 2 * total
    return rates, variances, chi2


def speed() -> dict[str, float]:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:512, :512]
    flux = 0.3 + 3.0 * np.exp(-((y % 64 - 32) ** 2 + (x % 64 - 32) ** 2) / 200.0)
    reads = np.rint(ramps(rng, flux, 100, 5.0)).astype(np.uint16)
    camera, result = Camera(1.0, 5.0), {}
    calls = {
        "fit": lambda: fit_ramp(reads, camera, tuning=FitTuning(None, threads=2)),
        "fit with jump test": lambda: fit_ramp(reads, camera, tuning=FitTuning(5.0, threads=2)),
        "recursion per pixel": lambda: recursion(reads, 5.0),
        "recursion without chi2": lambda: recursion(reads, 5.0, test=False),
    }
    wall, cpu = dict.fromkeys(calls, np.inf), dict.fromkeys(calls, np.inf)
    for _ in range(5):
        for name, call in calls.items():  # in turn, so that other work on the machine meets all of them
            for _ in range(3 if name == "fit" else 1):
                start, used = time.perf_counter(), time.process_time()
                call()
                wall[name] = min(wall[name], time.perf_counter() - start)
                cpu[name] = min(cpu[name], time.process_time() - used)
    for name in calls:
        result[f"{name}, 512x512x100 uint16, 2 threads [Msamples/s]"] = reads.size / wall[name] / 1e6
        result[f"{name}, per second of CPU [Msamples/s]"] = reads.size / cpu[name] / 1e6
    peer = "recursion per pixel"
    result["fit over recursion, wall"] = wall[peer] / wall["fit"]
    result["fit over recursion, per second of CPU"] = cpu[peer] / cpu["fit"]
    result["fit over recursion without chi2, per second of CPU"] = cpu["recursion without chi2"] / cpu["fit"]
    result["fit with jump test over recursion, per second of CPU"] = cpu[peer] / cpu["fit with jump test"]
    sample, variance, _ = recursion(reads[:, :16], 5.0)
    exact = fit_ramp(
        reads[:, :16], camera, tuning=FitTuning(None, flux_guess=np.diff(reads[:, :16].astype(float), axis=0).mean(0))
    )
    result["recursion and fit, same weights: largest difference over sigma"] = float(
        np.max(np.abs(sample - exact.rate) / np.sqrt(variance))
    )
    return result


CALL = """
import sys, time
from pathlib import Path
from quietframe.verbs.ndr import CameraOptions, fit, subtract
start = time.perf_counter()
source, out = Path(sys.argv[2]), Path(sys.argv[3])
known = CameraOptions(gain_e_per_adu=1.0, read_noise_e=5.0, full_well_e=60000.0)
{"subtract": lambda: subtract(source, out, difference=20, spacing="rolling"),
 "subtract guarded": lambda: subtract(source, out, difference=20),
 "fit": lambda: fit(source, out, camera=known), "fit uncalibrated": lambda: fit(source, out),
 "fit without jump test": lambda: fit(source, out, camera=known, jump_sigma=0)}[sys.argv[1]]()
taken = time.perf_counter() - start
# The peak of this program alone; getrusage would count the program that started it.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(taken, int(peak.split()[1]) / 1024)
"""


def large_file() -> dict[str, float]:
    """Time and memory from file to file, 1000 x 512 x 512 uint16."""
    result = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(5)
        steps = rng.poisson(0.5, (8, 512, 512)).astype(np.uint16)
        noise = np.rint(5.0 * rng.standard_normal((8, 512, 512)) + 100).astype(np.uint16)

        def reads() -> Any:
            total = np.zeros((512, 512), np.uint16)
            for i in range(1000):
                total = total + np.roll(steps[i % 8], 7 * i, axis=1)
                yield total + np.roll(noise[i % 7], 13 * i, axis=1)

        source = folder / "large.tif"
        write_planes(source, reads(), ImageMeta((1000, 512, 512), "TYX"), dtype="uint16")
        plain = []
        for _ in range(2):  # the first reaches the disk, the second may stay in the memory of the file system
            start = time.perf_counter()
            tifffile.imwrite(folder / "copy.tif", tifffile.imread(source))
            if not plain:
                with (folder / "copy.tif").open("rb+") as copy:
                    os.fsync(copy.fileno())
            plain.append(time.perf_counter() - start)
            (folder / "copy.tif").unlink()
        result["plain read and write of the file onto the disk [s]"] = plain[0]
        result["the same in the memory of the file system [s]"] = plain[1]
        for verb in ("subtract guarded", "subtract", "fit without jump test", "fit", "fit uncalibrated"):
            out, walls = folder / "out.tif", []
            for _ in range(2):
                command = [sys.executable, "-c", CALL, verb, str(source), str(out)]
                answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
                out.unlink()
                walls.append(float(answer[0]))
            result[f"{verb}: wall [s], best of 2"] = min(walls)
            result |= {f"{verb}: wall / plain": min(walls) / plain[0], f"{verb}: peak memory [MB]": float(answer[1])}
    return result
