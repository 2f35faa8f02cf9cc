"""Numbers of the NDR room: exactness, efficiency, jumps, speed, memory. Run: ``python benchmarks/ndr_exposure.py``.

A word after it, such as ``speed``, makes only the parts with that word in their name anew. Writes
``results/ndr_exposure.json`` and ``.md``. Everything is seeded but the timings; speeds and file times are ratios or
rates on the machine named in the file. Needs the test data (QUIETFRAME_DATA) for the rows on real files, and about
1.1 GB of disk for the large file.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ndr_bound import normal_information, true_efficiency
from ndr_speed import large_file, ramps, speed
from scipy import ndimage

from quietframe.camera import Camera
from quietframe.images import read_image
from quietframe.ndr import weights
from quietframe.ndr.dose import dose_pattern
from quietframe.ndr.fit import JUMP, MASKED, FitTuning, fit_ramp
from quietframe.ndr.fit_uneven import fit_uneven
from quietframe.ndr.photon_transfer import examine, read_noise_map
from quietframe.ndr.uneven import ReadPattern
from quietframe.verbs.ndr import CameraOptions, FitOptions, calibrate, fit

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))


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
    """Scatter of the fit against the least any estimate can have (`ndr_bound`), and its bias.

    The bias is that beyond perfect weights on the same ramps, which are exactly unbiased.
    """
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
                of_mean, of_variance = normal_information(n, flux, noise)
                relative = float(np.mean(least**2) / np.mean(error**2))
                true, _ = true_efficiency(n, flux, noise, {16: 2000, 100: 300, 300: 60}[n], seed=n)
                least_known = "the exact likelihood's bound" if flux * (n - 1) >= 1.0 else "it under one photon a ramp"
                result[f"{name}: efficiency"] = float(1.0 / (of_mean * np.mean(error**2)))
                result[f"{name}: scatter of perfect weights over that of the fit, squared"] = relative
                result[f"{name}: of {least_known}"] = true * relative
                result[f"{name}: information of the variance over that of the mean, normal model"] = (
                    of_variance / of_mean
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
    """Count steps found and false alarms, in short and in long ramps, at the flux of the limit and at a lower one."""
    result = {}
    for n, side, seeds in ((100, 256, 4), (1000, 128, 4)):
        found, alarms, dark = [], [], []
        hit = np.zeros((side, side), bool)
        hit[::9, ::9] = True
        for seed in range(seeds):
            reads = ramps(np.random.default_rng(seed), np.full(hit.shape, 0.5), n, 5.0)
            alarms.append(np.mean(fit_ramp(reads, Camera(1.0, 5.0)).flags & JUMP > 0))
            reads[n * 2 // 5 + 1 :, hit] += 30.0
            found.append(np.mean((fit_ramp(reads, Camera(1.0, 5.0)).flags & JUMP > 0)[hit]))
            reads = ramps(np.random.default_rng(seed), np.full(hit.shape, 0.1), n, 3.0)
            dark.append(np.mean(fit_ramp(reads, Camera(1.0, 3.0)).flags & JUMP > 0))
        result[f"N={n}: 30 e- step found"] = float(np.mean(found))
        result[f"N={n}: false alarms per ramp"] = float(np.mean(alarms))
        result[f"N={n}: false alarms per ramp, s=3, f=0.1"] = float(np.mean(dark))
    return result


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


def must_reach(rows: dict[str, dict[str, float]]) -> list[tuple[str, str, float, bool]]:
    """Return (what, limit, worst value, reached) of every number that has a limit."""
    checks = [
        ("explicit covariance", "relative difference", -np.inf, 1e-6),
        ("efficiency", ": efficiency", 0.95, 1.03),
        ("efficiency", "likelihood's bound", 0.95, 1.03),
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


def parts() -> dict[str, Callable[[], dict[str, float]]]:
    """Return what makes each part of the report."""
    real = {"simulated sets": simulated_sets, "real ramp (WFC3)": real_ramp} if DATA.is_dir() else {}
    return {
        "explicit covariance, 200 random ramps each": brute_force,
        **real,
        "efficiency and bias, flat scenes": efficiency,
        "structured scene, N=100, s=5": structured,
        "gain over last minus first": over_last_first,
        "saturation, N=100, full well 20000 e-, s=3": saturation,
        "jumps, s=5, f=0.5": jumps,
        "gain from one ramp": gains,
        "fading light, N=100, s=5": dose,
        "speed": speed,
        "1000 x 512 x 512 uint16, file to file": large_file,
    }


def write(rows: dict[str, dict[str, float]]) -> str:
    """Write what has been made and return it as a text."""
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    )
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
    return "\n".join(lines)


def main(wanted: list[str]) -> None:
    """Make the parts whose names contain one of `wanted`, or all; the others stay as they were."""
    (HERE / "results").mkdir(exist_ok=True)
    report = HERE / "results" / "ndr_exposure.json"
    made = json.loads(report.read_text(encoding="utf-8")) if wanted else {}
    for name, make in parts().items():
        if not wanted or any(word in name for word in wanted):
            made[name] = make()
            text = write({part: made[part] for part in parts() if part in made})
            print(name, file=sys.stderr)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
