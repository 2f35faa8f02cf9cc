"""Our BM3D beside the authors' package: PSNR on six pictures at three noise levels, CPU, wall time and memory.

Run it with a Python that has `bm3d` 4.0.3 beside Quietframe's own requirements (the package is closed and for
non-commercial use only, so nothing installs it by itself):

    uv venv peer && uv pip install --python peer/bin/python -e . bm3d==4.0.3
    peer/bin/python benchmarks/filter_bm3d.py [--quick] [--data ../shared/data] [--out benchmarks/results]

Pictures: scikit-image's camera, and ground truths of the fluorescence microscopy denoising set, values 0 to 255; noise
is added with fixed seeds, other ones than our settings were chosen with, and not clipped. Every time and memory is a
process of its own; the two take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURES = ("camera", "Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_FISH", "TwoPhoton_MICE", "WideField_BPAE_G")
SIGMAS = (10, 25, 50)
LIMITS = {"each_db": -0.1, "mean_db": -0.05, "cpu_ratio": 0.45, "wall_ratio": 0.25, "peak_gb": 1.2}

TIMED = """
import json, sys, time
import numpy as np
who, size = sys.argv[1], int(sys.argv[2])
from skimage import data
clean = np.tile(data.camera(), (-(-size // 512), -(-size // 512)))[:size, :size].astype(np.float32)
noisy = clean + np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32) * np.float32(25)
del clean
if who == "ours":
    from quietframe.filters.bm3d import Settings, apply
    settings = Settings(noise_sigma=25.0, correlated=sys.argv[3])
    run = lambda image: apply(image, settings)
else:
    import bm3d
    run = lambda image: bm3d.bm3d(image.astype(np.float64), 25.0)
cpu, wall = time.process_time(), time.perf_counter()
run(noisy[:64, :64])
first = {"first_cpu_s": time.process_time() - cpu}
cpu, wall = time.process_time(), time.perf_counter()
run(noisy)
done = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({**first, **done, "peak_gb": peak / 2**20}))
"""


def timed(who: str, size: int, threads: int, correlated: str = "no", cache: str | None = None) -> dict[str, float]:
    """Filter one picture in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if cache:
        environment["NUMBA_CACHE_DIR"] = cache
    command = [sys.executable, "-c", textwrap.dedent(TIMED), who, str(size), correlated]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def picture(name: str, folder: Path) -> Any:
    """Return a clean picture (Y, X), float32, 0 to 255."""
    from skimage import data, io

    clean = data.camera() if name == "camera" else io.imread(folder / "fmd" / f"{name}_gt.png")
    return clean.astype(np.float32)


def psnr(clean: Any, image: Any) -> float:
    """Peak signal to noise ratio at peak 255 [dB]."""
    return float(10 * np.log10(255**2 / np.mean((clean.astype(np.float64) - image) ** 2)))


def quality(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Denoise every picture at every noise level with both."""
    import bm3d

    from quietframe.filters.bm3d import Settings, apply

    rows = []
    for number, name in enumerate(PICTURES[:1] if quick else PICTURES):
        clean = picture(name, folder)
        for sigma in SIGMAS:
            noise = np.random.default_rng([number + 100, sigma]).normal(0, sigma, clean.shape).astype(np.float32)
            ours = psnr(clean, apply(clean + noise, Settings(noise_sigma=float(sigma))))
            theirs = psnr(clean, bm3d.bm3d((clean + noise).astype(np.float64), float(sigma)))
            rows.append({"picture": name, "sigma": sigma, "ours_db": ours, "package_db": theirs, "gain": ours - theirs})
    return rows


def speed(rounds: int, quick: bool) -> dict[str, Any]:
    """Time 512^2 at sigma 25 in turns, best of the rounds; then the memory of 4096^2, and the compilation."""
    import tempfile

    each: dict[str, list[dict[str, float]]] = {"ours_1": [], "ours_2": [], "ours_correlated": [], "package": []}
    for _ in range(rounds):
        each["ours_1"].append(timed("ours", 512, 1))
        each["package"].append(timed("package", 512, 1))
        each["ours_2"].append(timed("ours", 512, 2))
        each["ours_correlated"].append(timed("ours", 512, 1, "yes"))
    best = {who: {key: min(one[key] for one in found) for key in found[0]} for who, found in each.items()}
    with tempfile.TemporaryDirectory() as cache:
        compiling = timed("ours", 64, 1, cache=cache)["first_cpu_s"]
    large = timed("ours", 1024 if quick else 4096, 2)
    return {
        "rows": best, "compile_cpu_s": compiling, "large_size": 1024 if quick else 4096, "large": large,
        "cpu_ratio": best["ours_1"]["cpu_s"] / best["package"]["cpu_s"],
        "wall_ratio": best["ours_2"]["wall_s"] / best["package"]["wall_s"],
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    rows, times = result["quality"], result["speed"]
    gains = [row["gain"] for row in rows]
    lines = [
        "# BM3D, ours and the authors' package (bm3d 4.0.3, profile np)",
        "",
        f"{result['machine']}. PSNR [dB] at peak 255 of {len(rows)} noisy pictures.",
        "",
        "| picture | sigma | ours | package | difference |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        figures = f"{row['ours_db']:.2f} | {row['package_db']:.2f} | {row['gain']:+.3f}"
        lines.append(f"| {row['picture']} | {row['sigma']} | {figures} |")
    names = {
        "ours_1": "ours, 1 thread", "ours_2": "ours, 2 threads",
        "ours_correlated": "ours, 1 thread, correlated yes", "package": "package",
    }  # fmt: skip
    lines += ["", "| 512², sigma 25 | CPU-s | wall [s] | peak memory [GB] |", "|---|---|---|---|"]
    for who, row in times["rows"].items():
        lines.append(f"| {names[who]} | {row['cpu_s']:.2f} | {row['wall_s']:.2f} | {row['peak_gb']:.2f} |")
    large = times["large"]
    lines += [
        f"| ours, {times['large_size']}², 2 threads | {large['cpu_s']:.1f} | {large['wall_s']:.1f} | "
        f"{large['peak_gb']:.2f} |",
        "",
        f"Compilation, once per installation: {times['compile_cpu_s']:.1f} CPU-s, in none of the times above.",
        "",
        "| what | found | limit |",
        "|---|---|---|",
        f"| lowest difference [dB] | {min(gains):+.3f} | ≥ {LIMITS['each_db']} |",
        f"| mean difference [dB] | {sum(gains) / len(gains):+.3f} | ≥ {LIMITS['mean_db']} |",
        f"| CPU, ours / package | {times['cpu_ratio']:.2f} | ≤ {LIMITS['cpu_ratio']} |",
        f"| wall, ours on 2 threads / package | {times['wall_ratio']:.2f} | ≤ {LIMITS['wall_ratio']} |",
        f"| peak memory at {times['large_size']}² [GB] | {large['peak_gb']:.2f} | ≤ {LIMITS['peak_gb']} |",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write or print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one picture, one round, 1024²; write nothing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    found = {
        "quality": quality(given.data, given.quick),
        "speed": speed(1 if given.quick else given.rounds, given.quick),
    }
    result = {"machine": machine, "limits": LIMITS, **found}
    if not given.quick:
        (given.out / "filter_bm3d.json").write_text(json.dumps(result, indent=2) + "\n")
        (given.out / "filter_bm3d.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
