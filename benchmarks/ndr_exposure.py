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

from quietframe.camera import Camera
from quietframe.images import ImageMeta, read_image, write_planes
from quietframe.ndr import weights
from quietframe.ndr.calibrate import calibrate
from quietframe.ndr.fit import JUMP, FitTuning, fit_ramp

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))


def ramps(rng: np.random.Generator, flux: np.ndarray, n_reads: int, noise: float) -> np.ndarray:
    reads = np.cumsum(rng.poisson(flux, (n_reads, *flux.shape)), axis=0, dtype=np.float32)
    reads += noise * rng.standard_normal(reads.shape, dtype=np.float32)
    return reads + (25.0 * rng.standard_normal(flux.shape) + 500.0).astype(np.float32)


def brute_force() -> dict[str, float]:
    rng = np.random.default_rng(1)
    worst = {"rate": 0.0, "variance": 0.0}
    for _ in range(200):
        n, flux, noise = int(rng.integers(2, 300)), 10 ** rng.uniform(-1.3, 2.5), 10 ** rng.uniform(-0.7, 1.3)
        flux = float(np.float32(flux))
        ramp = ramps(rng, np.full((1, 1), flux), n, noise).astype(np.float64)
        fit = fit_ramp(ramp, Camera(1.0, noise), tuning=FitTuning(None, flux, threads=1))
        covariance = np.diag(np.full(n - 1, flux + 2 * noise**2))
        covariance -= noise**2 * (np.eye(n - 1, k=1) + np.eye(n - 1, k=-1))
        solved = np.linalg.solve(covariance, np.ones(n - 1))
        rate, variance = solved @ np.diff(ramp[:, 0, 0]) / solved.sum(), 1.0 / solved.sum()
        worst["rate"] = max(worst["rate"], abs(fit.rate[0, 0] - rate) / max(abs(rate), np.sqrt(variance)))
        worst["variance"] = max(worst["variance"], abs(fit.variance[0, 0] / variance - 1.0))
    return {f"largest relative difference of the {name}": float(value) for name, value in worst.items()}


def nuclei() -> dict[str, float]:
    folder = DATA / "ndr_simulated"
    reads = read_image(folder / "nuclei_lowflux_ramp1.tif").array
    masks = np.load(folder / "nuclei_lowflux_truth_masks.npz")
    truth = read_image(folder / "nuclei_lowflux_truth_rate.tif").array + masks["dark"]
    clean = ~np.unpackbits(masks["jumps"], axis=-1).reshape(masks["jumps_shape"]).astype(bool)[0].any(axis=0)
    result = {}
    for method in weights.METHODS:
        fit = fit_ramp(reads, Camera(1.0, 12.0), method=method)
        result[f"rms error, {method} [e-/s]"] = float(np.sqrt(np.mean((10 * fit.rate - truth)[clean] ** 2)))
    fit = fit_ramp(reads, Camera(1.0, 12.0))
    z = ((10 * fit.rate - truth) / (10 * np.sqrt(fit.variance)))[fit.flags == 0]
    result["ratio optimal / last-first"] = result["rms error, optimal [e-/s]"] / result["rms error, last-first [e-/s]"]
    result["robust z std, unflagged"] = float(1.4826 * np.median(np.abs(z - np.median(z))))
    return result


def efficiency() -> dict[str, float]:
    """Scatter of the fit against that of perfect weights, flat scenes, 128 x 128 px."""
    result = {}
    for n, noise, flux in (
        (16, 5.0, 0.5),
        (64, 5.0, 0.05),
        (100, 2.0, 1.0),
        (100, 5.0, 0.05),
        (100, 20.0, 0.2),
        (300, 1.0, 0.05),
    ):
        rng = np.random.default_rng(n)
        fit = fit_ramp(ramps(rng, np.full((128, 128), flux), n, noise), Camera(1.0, noise), tuning=FitTuning(None))
        bound = 1.0 / weights.information(n, flux, noise)
        error = fit.rate.astype(np.float64) - flux
        name = f"N={n} s={noise:g} f={flux:g}"
        result[f"{name}: efficiency"] = float(bound / np.mean(error**2))
        result[f"{name}: bias %"] = float(100 * error.mean() / flux)
        result[f"{name}: coverage of 95 %"] = float(np.mean(np.abs(error) < 1.96 * np.sqrt(fit.variance)))
    return result


def jumps() -> dict[str, float]:
    rng = np.random.default_rng(2)
    reads = ramps(rng, np.full((256, 256), 0.5), 100, 5.0)
    camera = Camera(1.0, 5.0)
    false_alarms = np.mean(fit_ramp(reads, camera).flags & JUMP > 0)
    hit = np.zeros((256, 256), bool)
    hit[::9, ::9] = True
    reads[41:, hit] += 30.0
    found = np.mean((fit_ramp(reads, camera).flags & JUMP > 0)[hit])
    return {"30 e- step found": float(found), "false alarms per ramp": float(false_alarms)}


def gains() -> dict[str, float]:
    result = {}
    for n in (100, 1000):
        rng = np.random.default_rng(3)
        flux = np.exp(rng.uniform(np.log(0.5), np.log(20), (128, 128)))
        reads = np.rint(ramps(rng, flux, n, 3.0) / 0.46).astype(np.uint16)
        result[f"N={n}: gain error %"] = 100 * (float(calibrate(reads).gain_e_per_adu or np.nan) / 0.46 - 1.0)
    return result


def speed() -> dict[str, float]:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:512, :512]
    flux = 0.3 + 3.0 * np.exp(-((y % 64 - 32) ** 2 + (x % 64 - 32) ** 2) / 200.0)
    reads = np.rint(ramps(rng, flux, 100, 5.0)).astype(np.uint16)
    camera, result = Camera(1.0, 5.0), {}
    for name, sigma in (("fit", None), ("fit with jump test", 5.0)):
        best_wall = best_cpu = np.inf
        for _ in range(5):
            wall, cpu = time.perf_counter(), time.process_time()
            fit_ramp(reads, camera, tuning=FitTuning(sigma, threads=2))
            best_wall, best_cpu = min(best_wall, time.perf_counter() - wall), min(best_cpu, time.process_time() - cpu)
        result[f"{name}, 512x512x100 uint16, 2 threads [Msamples/s]"] = reads.size / best_wall / 1e6
        result[f"{name}, per second of CPU [Msamples/s]"] = reads.size / best_cpu / 1e6
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
        start = time.perf_counter()
        tifffile.imwrite(folder / "copy.tif", tifffile.imread(source))
        plain = time.perf_counter() - start
        (folder / "copy.tif").unlink()
        result["plain read and write of the file [s]"] = plain
        for verb in ("subtract guarded", "subtract", "fit without jump test", "fit", "fit uncalibrated"):
            out = folder / "out.tif"
            command = [sys.executable, "-c", CALL, verb, str(source), str(out)]
            wall, memory = map(
                float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            )
            out.unlink()
            result |= {f"{verb}: wall / plain": wall / plain, f"{verb}: peak memory [MB]": memory}
    return result


def main() -> None:
    rows: dict[str, dict[str, float]] = {"explicit covariance, 200 random ramps": brute_force()}
    if DATA.is_dir():
        rows["nuclei_lowflux_ramp1"] = nuclei()
    rows |= {"efficiency": efficiency(), "jumps": jumps(), "gain from one ramp": gains(), "speed": speed()}
    rows["1000 x 512 x 512 uint16, file to file"] = large_file()
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    )
    (HERE / "results").mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, **rows}, indent=1) + "\n"
    (HERE / "results" / "ndr_exposure.json").write_text(text, encoding="utf-8")
    lines = ["# NDR: exposure, fit, calibration", "", f"Machine: {machine}. Made by `benchmarks/ndr_exposure.py`.", ""]
    for title, values in rows.items():
        lines += [f"## {title}", "", "| what | value |", "|--|--|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in values.items()] + [""]
    (HERE / "results" / "ndr_exposure.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
