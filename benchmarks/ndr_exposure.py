"""Numbers of the NDR room: exactness, efficiency, jumps, speed, memory. Run: ``python benchmarks/ndr_exposure.py``.

Writes ``results/ndr_exposure.json`` and ``.md``. Everything is seeded but the timings; speeds and file times are ratios
or rates on the machine named in the file. Needs the test data (QUIETFRAME_DATA) for the rows on real files, and about
1.1 GB of disk for the large file.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage

from quietframe.camera import Camera
from quietframe.images import ImageMeta, read_image, write_planes
from quietframe.ndr import weights
from quietframe.ndr.dose import dose_pattern
from quietframe.ndr.fit import JUMP, MASKED, FitTuning, fit_ramp
from quietframe.ndr.fit_uneven import fit_uneven
from quietframe.ndr.photon_transfer import examine, read_noise_map
from quietframe.ndr.uneven import ReadPattern
from quietframe.verbs.ndr import CameraOptions, FitOptions, calibrate, fit

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))


def ramps(rng: np.random.Generator, flux: np.ndarray, n_reads: int, noise: Any) -> np.ndarray:
    reads = np.cumsum(rng.poisson(flux, (n_reads, *flux.shape)), axis=0, dtype=np.float32)
    reads += noise * rng.standard_normal(reads.shape, dtype=np.float32)
    return reads + (25.0 * rng.standard_normal(flux.shape) + 500.0).astype(np.float32)


def explicit(ramp: np.ndarray, times: np.ndarray, flux: float, noise: float) -> tuple[float, float]:
    """Fit one ramp from the covariance matrix of its reads."""
    covariance = flux * np.minimum.outer(times, times) + noise**2 * np.eye(len(times))
    differencing = np.diff(np.eye(len(times)), axis=0)
    step, time_step = differencing @ ramp, differencing @ times
    solved = np.linalg.solve(differencing @ covariance @ differencing.T, time_step)
    return float(solved @ step / (solved @ time_step)), float(1.0 / (solved @ time_step))


def brute_force() -> dict[str, float]:
    rng = np.random.default_rng(1)
    result = {}
    for kind in ("equal spacing", "uneven times", "uneven times, masked reads"):
        worst = {"rate": 0.0, "variance": 0.0}
        for _ in range(200):
            n, flux, noise = int(rng.integers(4, 300)), 10 ** rng.uniform(-1.3, 2.5), 10 ** rng.uniform(-0.7, 1.3)
            flux = float(np.float32(flux))
            gaps = np.ones(n) if kind == "equal spacing" else rng.uniform(0.2, 4.0, n)
            times, kept = np.cumsum(gaps), np.ones(n, bool)
            if "masked" in kind:
                kept[rng.permutation(n)[: rng.integers(1, n - 2)]] = False
            ramp = 500.0 + np.cumsum(rng.poisson(flux * gaps)) + noise * rng.standard_normal(n)
            rate, variance = explicit(ramp[kept], times[kept], flux, noise)
            stack = np.where(kept, ramp, np.nan)[:, None, None]
            tuning = FitTuning(None, flux, threads=1)
            if kind == "equal spacing":
                fit = fit_ramp(stack, Camera(1.0, noise), tuning=tuning)
            else:
                fit = fit_uneven(stack, Camera(1.0, noise), ReadPattern.of_times(times), tuning=tuning)
            worst["rate"] = max(worst["rate"], abs(float(fit.rate[0, 0]) - rate) / max(abs(rate), np.sqrt(variance)))
            worst["variance"] = max(worst["variance"], abs(float(fit.variance[0, 0]) / variance - 1.0))
        result |= {f"{kind}: largest relative difference of the {name}": float(v) for name, v in worst.items()}
    return result


def simulated_sets() -> dict[str, float]:
    """Rate error over predicted sigma on the two simulated sets, against their truth."""
    result = {}
    sets = (
        ("nuclei_lowflux", Camera(1.0, 12.0, full_well_e=60000.0, black_adu=1000.0), 0.1),
        ("cords_highflux_saturating", Camera(1.6, 8.0, full_well_e=40000.0, black_adu=800.0), 0.5),
    )
    for name, camera, seconds in sets:
        folder = DATA / "ndr_simulated"
        truth = (
            read_image(folder / f"{name}_truth_rate.tif").array + np.load(folder / f"{name}_truth_masks.npz")["dark"]
        )
        for ramp in (1, 2):
            reads = read_image(folder / f"{name}_ramp{ramp}.tif").array
            fit = fit_ramp(reads, camera)
            z = ((fit.rate / seconds - truth) / (np.sqrt(fit.variance) / seconds))[fit.flags == 0]
            result[f"{name} ramp {ramp}: robust z std"] = float(1.4826 * np.median(np.abs(z - np.median(z))))
            result[f"{name} ramp {ramp}: unflagged pixels beyond 5 sigma"] = float(np.count_nonzero(np.abs(z) > 5))
            plain = fit_ramp(reads, camera, method="last-first")
            good = (fit.flags == 0) & (plain.flags == 0)
            errors = [np.sqrt(np.mean((f.rate / seconds - truth)[good] ** 2)) for f in (fit, plain)]
            result[f"{name} ramp {ramp}: rms error, optimal / last-first"] = float(errors[0] / errors[1])
    return result


def real_ramp() -> dict[str, float]:
    """Noise of read differences of a real ramp, without its reference border and the pixels its data quality flags."""
    reads = read_image(DATA / "ndr_real" / "wfc3_ramp_electrons.tif").array.astype(np.float64)
    quality = read_image(DATA / "ndr_real" / "wfc3_ramp_dq.tif").array
    good = (quality == 0).all(axis=0)
    good[:5] = good[-5:] = False
    good[:, :5] = good[:, -5:] = False
    spread = [1.4826 * np.median(np.abs(d[good] - np.median(d[good]))) for d in np.diff(reads, axis=0)]
    return {
        "pixels used, part": float(good.mean()),
        "noise of a read difference [e-]": float(np.mean(spread)),
        "over the header's 20.2 e-": float(np.mean(spread) / 20.2),
        **by_the_verb(good),
    }


def by_the_verb(good: np.ndarray) -> dict[str, float]:
    """Calibrate and fit the real ramp with its mask and border given as options."""
    folder, camera = DATA / "ndr_real", CameraOptions(gain_e_per_adu=1.0)
    source, mask = folder / "wfc3_ramp_electrons.tif", folder / "wfc3_ramp_dq.tif"
    found = calibrate(source, quality=mask, reference_border=5, camera=camera)
    with tempfile.TemporaryDirectory() as name:
        rate, flags = Path(name) / "rate.tif", Path(name) / "flags.tif"
        fit(source, rate, flags=flags, camera=camera, options=FitOptions(quality=mask, reference_border=5))
        flagged = (read_image(flags).array & MASKED) != 0
    noise = float(np.sqrt(2) * found["read_noise_e"])
    return {
        "ndr calibrate --quality --reference-border, of a difference [e-]": noise,
        "ndr calibrate, over the header's 20.2 e-": noise / 20.2,
        "ndr fit, pixels flagged as masked other than border and mask": float(np.count_nonzero(flagged == good)),
    }


def efficiency() -> dict[str, float]:
    """Scatter and bias of the fit against perfect weights on the same ramps, which are exactly unbiased."""
    result = {}
    for n in (16, 100, 300):
        for noise in (0.2, 1.0, 5.0):
            for flux in (0.05, 1.0, 20.0):
                rng = np.random.default_rng([n, int(10 * noise), int(100 * flux)])
                size = {16: 384, 100: 192, 300: 128}[n]
                reads = ramps(rng, np.full((size, size), flux), n, noise)
                fit = fit_ramp(reads, Camera(1.0, noise), tuning=FitTuning(None))
                row = weights.of_reads(weights.optimal(n, flux, noise))
                best = np.tensordot(row, reads.astype(np.float64) - reads[0], axes=1)
                error, least = fit.rate.astype(np.float64) - flux, best - flux
                name = f"N={n} s={noise:g} f={flux:g}"
                result[f"{name}: efficiency"] = float(np.mean(least**2) / np.mean(error**2))
                result[f"{name}: scatter, perfect weights / formula"] = float(
                    np.sqrt(np.mean(least**2) * weights.information(n, flux, noise))
                )
                result[f"{name}: bias %"] = float(100 * np.mean(error - least) / flux)
    return result


def structured() -> dict[str, float]:
    """Bias and coverage in a structured image; the bias is that beyond perfect weights on the same ramps."""
    y, x = np.mgrid[:192, :192]
    flux = 0.05 + 4.0 * np.exp(-((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) / 30.0)
    parts = {"background": flux < 0.1, "mid": (flux >= 0.1) & (flux < 1.0), "bright": flux >= 1.0}
    covered, extra = {name: [] for name in parts}, {name: [] for name in parts}
    for seed in range(6):
        reads = ramps(np.random.default_rng(seed), flux, 100, 5.0)
        fit = fit_ramp(reads, Camera(1.0, 5.0), tuning=FitTuning(None))
        perfect = fit_ramp(reads, Camera(1.0, 5.0), tuning=FitTuning(None, flux_guess=flux))
        inside = np.abs(fit.rate - flux) < 1.96 * np.sqrt(fit.variance)
        for name, part in parts.items():
            covered[name].append(np.mean(inside[part]))
            extra[name].append(np.sum((fit.rate - perfect.rate)[part], dtype=np.float64) / flux[part].sum())
    result = {f"{name}: coverage of 95 %": float(np.mean(values)) for name, values in covered.items()}
    return result | {f"{name}: bias %": 100 * float(np.mean(values)) for name, values in extra.items()}


GAIN_TABLE = {
    (16, 1, 0.05): 1.35, (16, 5, 0.5): 1.52, (16, 5, 5): 1.13, (64, 5, 0.05): 2.54, (64, 20, 0.5): 2.75,
    (250, 5, 0.05): 2.03, (250, 20, 0.05): 4.90, (1000, 2, 0.05): 1.07, (1000, 5, 0.05): 1.38, (1000, 5, 50): 1.00,
    (1000, 20, 0.05): 3.74, (1000, 20, 0.5): 1.57,
}  # fmt: skip
"""Gain in signal-to-noise ratio of the optimal fit over last minus first, N reads, read noise s, flux f."""


def over_last_first() -> dict[str, float]:
    result = {}
    for (n, noise, flux), known in GAIN_TABLE.items():
        size = {16: 384, 64: 256, 250: 160, 1000: 128}[n]
        reads = ramps(np.random.default_rng(n), np.full((size, size), flux), n, noise)
        spread = [
            np.std(fit_ramp(reads, Camera(1.0, noise), method=method, tuning=FitTuning(None)).rate)
            for method in ("last-first", "optimal")
        ]
        result[f"N={n} s={noise:g} f={flux:g}: measured / table"] = float(spread[0] / spread[1] / known)
    return result


def saturation() -> dict[str, float]:
    result = {}
    for flux, known in ((210, 134), (400, 131), (4000, 111), (8000, 89)):
        rng = np.random.default_rng(flux)
        shape, n = (96, 96), 100
        charge = np.minimum(np.cumsum(rng.poisson(flux, (n, *shape)), axis=0), 20000.0)
        reads = charge + 3.0 * rng.standard_normal(charge.shape) + 25.0 * rng.standard_normal(shape)
        camera = Camera(1.0, 3.0, full_well_e=20000.0, black_adu=0.0)
        rate = fit_ramp(reads.astype(np.float32), camera, full_well_fraction=0.9).rate
        result[f"f={flux}: bias %"] = 100 * float(np.mean(rate) / flux - 1.0)
        result[f"f={flux}: SNR / table"] = float(np.mean(rate) / np.std(rate) / known)
    return result


def jumps() -> dict[str, float]:
    found, alarms = [], []
    hit = np.zeros((256, 256), bool)
    hit[::9, ::9] = True
    for seed in range(4):
        reads = ramps(np.random.default_rng(seed), np.full((256, 256), 0.5), 100, 5.0)
        alarms.append(np.mean(fit_ramp(reads, Camera(1.0, 5.0)).flags & JUMP > 0))
        reads[41:, hit] += 30.0
        found.append(np.mean((fit_ramp(reads, Camera(1.0, 5.0)).flags & JUMP > 0)[hit]))
    return {"30 e- step found": float(np.mean(found)), "false alarms per ramp": float(np.mean(alarms))}


def gains() -> dict[str, float]:
    """Gain and read-noise map from one ramp: 128 x 128 px, f 0.5 ... 20, g = 0.46, s = 3 lognormal 0.25."""
    result = {}
    for n, seeds in ((100, 12), (1000, 3)):
        errors, stated, maps = [], [], []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            scene = ndimage.gaussian_filter(rng.random((128, 128)), 3)
            flux = 0.5 + 19.5 * (scene - scene.min()) / np.ptp(scene)
            noise = 3.0 * np.exp(0.25 * rng.standard_normal(flux.shape)).astype(np.float32)
            reads = np.rint(ramps(rng, flux, n, noise) / 0.46).astype(np.uint16)
            examined = examine(reads)
            gain = float(examined.calibration.gain_e_per_adu or np.nan)
            errors.append(100 * (gain / 0.46 - 1.0))
            stated.append(100 * float(examined.calibration.gain_error or np.nan) / 0.46)
            found = read_noise_map(reads, examined, gain).noise_adu
            maps.append(np.corrcoef(found.ravel(), noise.ravel())[0, 1])
        result[f"N={n}: gain error, rms of {seeds} ramps %"] = float(np.sqrt(np.mean(np.square(errors))))
        result[f"N={n}: gain error, largest %"] = float(np.max(np.abs(errors)))
        result[f"N={n}: gain error, mean %"] = float(np.mean(errors))
        result[f"N={n}: stated gain error %"] = float(np.mean(stated))
        result[f"N={n}: read-noise map, correlation with truth"] = float(np.min(maps))
    return result


def dose() -> dict[str, float]:
    """Bias where the light fades, in clock time and in dose time."""
    result = {}
    y, x = np.mgrid[:128, :128]
    flux = 0.3 + 4.0 * np.exp(-((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) / 60.0)
    for loss in (0.3, 0.6):
        profile = np.exp(np.log(1 - loss) * np.arange(100) / 99)
        truth, clock, steady = flux * profile[1:].mean(), [], []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            reads = np.cumsum(rng.poisson(flux * profile[:, None, None]), axis=0) + 500.0
            reads += 5.0 * rng.standard_normal(reads.shape)
            total = fit_ramp(reads, Camera(1.0, 5.0), tuning=FitTuning(None)).rate.sum(dtype=np.float64)
            # Last minus first is exact for the mean rate: the same photons, without the noise of their number.
            exact = (reads[-1] - reads[0]).sum() / 99
            clock.append((total - exact) / truth.sum())
            fit = fit_uneven(reads, Camera(1.0, 5.0), dose_pattern(reads), tuning=FitTuning(None))
            steady.append((fit.rate.sum(dtype=np.float64) - exact) / truth.sum())
        result[f"{100 * loss:.0f} % loss: bias in clock time %"] = 100 * float(np.mean(clock))
        result[f"{100 * loss:.0f} % loss: bias in dose time %"] = 100 * float(np.mean(steady))
    return result


def recursion(reads: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit row after row by the recursions for determinants of leading and trailing blocks (Brandt 2024), float64.

    With ``a_i`` on the diagonal and ``b_i`` beside it: ``theta_i = a_i theta_{i-1} - b_{i-1}^2 theta_{i-2}`` forwards,
    ``phi`` alike backwards; the inverse times ones, and times the differences, from two more each. As there, each pixel
    has its own matrix, made from its own mean difference; rate, variance and chi2 come out.
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
        for right in (np.ones_like(step), step):
            forward, backward = np.zeros((n + 1, width)), np.zeros((n + 2, width))
            for i in range(1, n + 1):
                forward[i] = theta[i - 1] * right[i - 1] - beside[i - 2] * forward[i - 1]
            for i in range(n - 1, 0, -1):
                backward[i] = -beside[i - 1] * (phi[i + 1] * right[i] + backward[i + 1])
            solved.append((phi[1 : n + 1] * forward[1:] + theta[:n] * backward[1 : n + 1]) / (theta[n] * scale))
        total = solved[0].sum(axis=0)
        rates[y], variances[y] = (solved[0] * step).sum(axis=0) / total, 1.0 / total
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
    }
    for name, call in calls.items():
        best_wall = best_cpu = np.inf
        for _ in range(3 if "recursion" in name else 7):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            best_wall, best_cpu = min(best_wall, time.perf_counter() - wall), min(best_cpu, time.process_time() - cpu)
        result[f"{name}, 512x512x100 uint16, 2 threads [Msamples/s]"] = reads.size / best_wall / 1e6
        result[f"{name}, per second of CPU [Msamples/s]"] = reads.size / best_cpu / 1e6
    names = [name for name in result if "CPU" not in name]
    cpu = [name for name in result if "CPU" in name]
    result["fit over recursion, wall"] = result[names[0]] / result[names[2]]
    result["fit over recursion, per second of CPU"] = result[cpu[0]] / result[cpu[2]]
    result["fit with jump test over recursion, per second of CPU"] = result[cpu[1]] / result[cpu[2]]
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


def must_reach(rows: dict[str, dict[str, float]]) -> list[tuple[str, str, float, bool]]:
    """Return (what, limit, worst value, reached) of every number that has a limit."""
    checks = [
        ("explicit covariance", "relative difference", -np.inf, 1e-6),
        ("efficiency", ": efficiency", 0.95, 1.03),
        ("efficiency", ": bias %", -0.6, 0.6),
        ("gain over last", "measured / table", 0.97, 1.03),
        ("structured", ": bias %", -0.6, 0.6),
        ("structured", "coverage", 0.94, 0.96),
        ("saturation", "bias %", -0.3, 0.3),
        ("saturation", "SNR / table", 0.95, np.inf),
        ("jumps", "found", 0.97, 1.0),
        ("jumps", "false alarms", -np.inf, 2e-4),
        ("gain from one", "N=100: gain error, rms", -np.inf, 0.6),
        ("gain from one", "N=1000: gain error, rms", -np.inf, 0.3),
        ("gain from one", "N=100: read-noise map", 0.6, 1.0),
        ("gain from one", "N=1000: read-noise map", 0.93, 1.0),
        ("fading", "dose time", -0.1, 0.1),
        ("speed", "fit, 512x512x100 uint16", 50.0, np.inf),
        ("speed", "fit over recursion, per second of CPU", 10.0, np.inf),
        ("file to file", "peak memory", -np.inf, 300.0),
        ("file to file", "wall / plain", -np.inf, 2.5),
        ("real ramp", "over the header", 0.97, 1.03),
        ("real ramp", "other than border", 0.0, 0.0),
        ("simulated sets", "robust z std", 0.97, 1.05),
        ("simulated sets", "beyond 5 sigma", -np.inf, 0.0),
    ]
    lines = []
    for title, what, low, high in checks:
        values = [v for name, part in rows.items() if title in name for key, v in part.items() if what in key]
        if values:
            worst = max(values, key=lambda v: max(low - v, v - high))
            limit = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"
            limit = limit if np.isfinite(low) else f"{high:g} or less"
            lines.append((f"{title}: {what.strip(': ')} ({len(values)})", limit, worst, low <= worst <= high))
    return lines


def main() -> None:
    rows: dict[str, dict[str, float]] = {"explicit covariance, 200 random ramps each": brute_force()}
    if DATA.is_dir():
        rows |= {"simulated sets": simulated_sets(), "real ramp (WFC3)": real_ramp()}
    rows |= {
        "efficiency and bias, flat scenes": efficiency(),
        "structured scene, N=100, s=5": structured(),
        "gain over last minus first": over_last_first(),
        "saturation, N=100, full well 20000 e-, s=3": saturation(),
        "jumps, N=100, s=5, f=0.5": jumps(),
        "gain from one ramp": gains(),
        "fading light, N=100, s=5": dose(),
        "speed": speed(),
        "1000 x 512 x 512 uint16, file to file": large_file(),
    }
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    )
    (HERE / "results").mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, **rows}, indent=1) + "\n"
    (HERE / "results" / "ndr_exposure.json").write_text(text, encoding="utf-8")
    lines = ["# NDR: exposure, fit, calibration", f"Machine: {machine}. Made by `benchmarks/ndr_exposure.py`.", ""]
    lines += ["## Limits", "| what (values) | allowed | worst value | |", "|--|--|--|--|"]
    lines += [
        f"| {w} | {lim} | {value:.4g} | {'reached' if ok else 'MISSED'} |" for w, lim, value, ok in must_reach(rows)
    ]
    lines.append("")
    for title, values in rows.items():
        lines += [f"## {title}", "| what | value |", "|--|--|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in values.items()] + [""]
    (HERE / "results" / "ndr_exposure.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
