"""Our filters beside ImageJ's own commands: time, processor time and pixels, in one process and in turns.

2048 x 2048 float32 pixels (16 x 512 x 512 for the commands that work in three dimensions): a smooth scene with Gaussian
noise and a few hot pixels. Both sides may use the same number of threads: ours by OMP_NUM_THREADS, ImageJ's by its
own setting (Edit > Options > Memory & Threads). Both compile on their first calls, which are not counted: as many
rounds as `--warm`. Of the counted rounds the fastest is taken, for each side, because other work on the machine only
adds. Processor seconds are those of the whole process, Java's compiler and garbage collector included. Java compiles
for what a process has run before: a row measured alone (`--only`) may differ for ImageJ, by up to a factor of two.

    python benchmarks/filters_imagej.py [--size 2048] [--threads 1 2] [--rounds 5] [--only median mean] [--json]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """A filter with its options, and the ImageJ command that does the same."""

    name: str
    settings: Mapping[str, Any]
    command: str
    options: Mapping[str, Any] = field(default_factory=dict)
    volume: bool = False


def disc(name: str, command: str, radius: float, **more: Any) -> Row:
    """Return a row for a filter with a radius; ImageJ has its other options under the same names."""
    return Row(name, {"radius": radius, **more}, command, {"radius": radius, **more})


XYZ = {"x": 2, "y": 2, "z": 2}
RADII = {"radius_x": 2.0, "radius_y": 2.0, "radius_z": 2.0}
ROWS = (
    *(disc("median", "Median...", radius) for radius in (1.0, 2.0, 5.0, 10.0)),
    *(disc("mean", "Mean...", radius) for radius in (1.0, 2.0, 10.0)),
    *(disc("minimum", "Minimum...", radius) for radius in (2.0, 10.0)),
    *(disc("maximum", "Maximum...", radius) for radius in (2.0, 10.0)),
    *(disc("variance", "Variance...", radius) for radius in (2.0, 10.0)),
    disc("top_hat", "Top Hat...", 2.0),
    disc("top_hat", "Top Hat...", 2.0, light=True),
    Row(
        "remove_outliers",
        {"radius": 2.0, "threshold": 50.0, "which": "bright"},
        "Remove Outliers...",
        {"radius": 2, "threshold": 50, "which": "Bright"},
    ),
    Row("despeckle", {}, "Despeckle"),
    Row("gaussian_blur", {"sigma": 2.0}, "Gaussian Blur...", {"sigma": 2}),
    Row("gaussian_blur", {"sigma": 12.0}, "Gaussian Blur...", {"sigma": 12}),
    Row("unsharp_mask", {"radius": 1.0, "mask": 0.6}, "Unsharp Mask...", {"radius": 1, "mask": 0.6}),
    Row("subtract_background", {"rolling": 50.0}, "Subtract Background...", {"rolling": 50}),
    Row(
        "subtract_background",
        {"rolling": 50.0, "sliding": True},
        "Subtract Background...",
        {"rolling": 50, "sliding": True},
    ),
    Row("gaussian_blur_3d", {"x": 2.0, "y": 2.0, "z": 2.0}, "Gaussian Blur 3D...", XYZ, volume=True),
    Row("mean_3d", RADII, "Mean 3D...", XYZ, volume=True),
    Row("median_3d", RADII, "Median 3D...", XYZ, volume=True),
)


def scene(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a smooth scene of 100 to 900 counts with noise of 20 counts and hot pixels, 1 in 1000."""
    rng = np.random.default_rng(6)
    waves = sum(
        np.sin(np.arange(n) / 37.0).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        for axis, n in enumerate(shape)
    )
    image = 500.0 + 400.0 * np.asarray(waves) / len(shape) + rng.normal(0, 20, shape)
    image[rng.random(shape) < 0.001] += 500.0
    return image.astype(np.float32)


def timed(call: Callable[..., Any], *values: Any) -> tuple[float, float]:
    """Return wall and processor seconds of a call."""
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    call(*values)
    return time.perf_counter() - wall, time.process_time() - processor


def imagej_call(row: Row) -> Callable[[Any], Any]:
    """Return a function that runs the command on an ImagePlus, without copying pixels to Python."""
    from jpype import JClass

    ij, window_manager = JClass("ij.IJ"), JClass("ij.WindowManager")
    words = [(key, value) for key, value in row.options.items() if value is not False]
    text = " ".join(key if value is True else f"{key}={value}" for key, value in words)

    def call(imageplus: Any) -> None:
        window_manager.setTempCurrentImage(imageplus)
        ij.run(imageplus, row.command, text)

    return call


def measure(fiji: Any, row: Row, image: NDArray[np.float32], threads: int, given: argparse.Namespace) -> dict[str, Any]:
    """Run both sides in turns; return the best seconds of each and how far the pixels are apart."""
    from jpype import JClass

    from quietframe.filters import load_filter

    os.environ["OMP_NUM_THREADS"] = str(threads)
    JClass("ij.Prefs").setThreads(threads)
    module = load_filter(row.name)
    settings = module.Settings(**row.settings)
    theirs = imagej_call(row)
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "imagej": []}
    begin = time.perf_counter()
    for turn in range(given.warm + given.rounds):
        spent = time.perf_counter() - begin
        if times["ours"] and spent > given.seconds:
            break
        imageplus = fiji.to_imageplus(image, "ZYX" if row.volume else "YX")
        pair = {"imagej": timed(theirs, imageplus), "ours": timed(module.apply, image, settings)}
        if turn >= given.warm or (turn > 0 and spent > given.seconds / 2):
            for who, seconds in pair.items():
                times[who].append(seconds)
    expected = fiji.from_imageplus(imageplus).array
    best = {who: [min(column) for column in zip(*found, strict=True)] for who, found in times.items()}
    return {
        "filter": row.name,
        "settings": dict(row.settings),
        "command": row.command,
        "shape": list(image.shape),
        "threads": threads,
        **{f"{who}_{what}_s": best[who][k] for who in best for k, what in enumerate(("wall", "cpu"))},
        "wall_ratio": best["ours"][0] / best["imagej"][0],
        "cpu_ratio": best["ours"][1] / best["imagej"][1],
        "largest_difference": float(np.abs(module.apply(image, settings).astype(np.float64) - expected).max()),
        "range": float(image.max() - image.min()),
        "rounds": len(times["ours"]),
    }


def table(result: Mapping[str, Any]) -> str:
    """Write the result as Markdown."""
    size, volume = result["size"], " x ".join(map(str, result["volume"]))
    lines = [
        "# Filters beside ImageJ's own",
        "",
        f"ImageJ {result['imagej']} on {result['java']}, in one process and in turns; float32, {size} x {size} pixels, "
        f"3D commands on {volume}. Best of up to {result['rounds']} rounds each; {result['warm']} before are not "
        "counted: Java's and numba's compilers work in them. A row that takes long has fewer of both. "
        f"{result['machine']}. A ratio below 1: ours is faster.",
        "",
        "| filter | threads | ours [s] | ImageJ [s] | ratio | ours [CPU-s] | ImageJ [CPU-s] | ratio | difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        options = " ".join(f"{key}={value}" for key, value in row["settings"].items())
        lines.append(
            f"| {row['filter']} {options} | {row['threads']} | {row['ours_wall_s']:.3f} | {row['imagej_wall_s']:.3f} "
            f"| **{row['wall_ratio']:.2f}** | {row['ours_cpu_s']:.3f} | {row['imagej_cpu_s']:.3f} "
            f"| {row['cpu_ratio']:.2f} | {row['largest_difference']:g} |"
        )
    lines += ["", "Difference: the largest of any pixel, in counts; the range of the values is about 1300."]
    return "\n".join([*lines, *(f"\n{line}" for line in result["skipped"])]) + "\n"


def processor() -> str:
    """Return what the processor calls itself, where the system says it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Start ImageJ once and measure all rows."""
    from jpype import JClass

    from quietframe.fiji.bridge import Fiji
    from quietframe.filters import filter_names

    volume = (16, given.size // 4, given.size // 4)
    images = {False: scene((given.size, given.size)), True: scene(volume)}
    rows, skipped = [], []
    with Fiji() as fiji:
        for row in ROWS:
            if given.only and row.name not in given.only:
                continue
            if row.name not in filter_names():
                skipped.append(f"Left out: {row.name}, there is no such filter.")
                continue
            for threads in given.threads:
                rows.append(measure(fiji, row, images[row.volume], threads, given))
                print(
                    "{filter} {settings} threads {threads}: wall {wall_ratio:.2f} cpu {cpu_ratio:.2f} "
                    "({ours_wall_s:.3f}/{imagej_wall_s:.3f} s) difference {largest_difference:g}".format(**rows[-1]),
                    flush=True,
                )
        java = str(JClass("java.lang.System").getProperty("java.vm.version"))
        version = fiji.imagej_version
    machine = f"{processor()}, {os.cpu_count()} cores"
    head = {"machine": machine, "imagej": version, "java": f"Java {java}", "size": given.size, "volume": volume}
    return {**head, "rounds": given.rounds, "warm": given.warm, "rows": rows, "skipped": skipped}


def main() -> None:
    """Measure, and write or print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="a row that took longer ends")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--json", action="store_true", help="print one JSON object and write nothing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    result = run(given)
    if given.json:
        print(json.dumps(result))
        return
    (given.out / "filters_imagej.json").write_text(json.dumps(result, indent=2) + "\n")
    (given.out / "filters_imagej.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
