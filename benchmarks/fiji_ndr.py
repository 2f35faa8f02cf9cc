"""Speed and memory of the NDR commands in ImageJ: NDR Fit of 100 reads, NDR Subtract of a file larger than its memory.

``python benchmarks/fiji_ndr.py`` writes ``benchmarks/results/fiji_ndr.json`` and ``.md``; ``--small`` tries it out on
small files and writes nothing. Every row is a Java machine of its own. Seconds are the best of some calls; Python's fit
of the same reads stands beside ImageJ's, measured in turn in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from quietframe.images import ImageMeta, write_planes

RESULTS = Path(__file__).parent / "results"

FIT = """
import json, sys, time
import numpy as np
from jpype import JClass
from quietframe.camera import Camera
from quietframe.fiji.bridge import Fiji
from quietframe.ndr.fit import FitTuning, fit_ramp
side, n, calls = (int(word) for word in sys.argv[1:])
rng = np.random.default_rng(4)
y, x = np.mgrid[:side, :side]
flux = 0.3 + 3.0 * np.exp(-((y % 64 - 32) ** 2 + (x % 64 - 32) ** 2) / 200.0)
reads = np.cumsum(rng.poisson(flux, (n, side, side)), axis=0) + rng.normal(500.0, 5.0, (n, side, side))
reads = np.rint(reads).astype(np.uint16)
fiji = Fiji(memory="2g")
source = JClass("org.quietframe.NdrReads")(fiji.to_imageplus(reads, "TYX"))
def java(jump_sigma, threads=2):
    settings = JClass("org.quietframe.NdrFit$Settings")()
    settings.setLast(n); settings.setGain(1.0); settings.setNoise(5.0)
    settings.setJumpSigma(jump_sigma); settings.setThreads(threads)
    return JClass("org.quietframe.NdrFit").of(source, settings)
def python(jump_sigma):
    return fit_ramp(reads, Camera(1.0, 5.0), tuning=FitTuning(jump_sigma or None, threads=2))
rows = {"ImageJ, no jump test": lambda: java(0.0), "ImageJ": lambda: java(5.0),
        "ImageJ, 1 thread": lambda: java(5.0, 1), "Python": lambda: python(5.0)}
wall, cpu = dict.fromkeys(rows, 1e9), dict.fromkeys(rows, 1e9)
for _ in range(calls):
    for name, call in rows.items():
        start, used = time.perf_counter(), time.process_time()
        call()
        wall[name] = min(wall[name], time.perf_counter() - start)
        cpu[name] = min(cpu[name], time.process_time() - used)
print("RESULT", json.dumps({name: {"msamples_per_s": reads.size / wall[name] / 1e6,
                                   "msamples_per_cpu_s": reads.size / cpu[name] / 1e6} for name in rows}))
"""

VIRTUAL = """
import json, sys, time
from jpype import JClass
from quietframe.fiji.bridge import Fiji
fiji = Fiji(memory="512m")
virtual = JClass("ij.plugin.FileInfoVirtualStack").openVirtual(sys.argv[1])
assert virtual.getStack().isVirtual()
heap = JClass("java.lang.management.ManagementFactory").getMemoryPoolMXBeans()
command, options = sys.argv[2], json.loads(sys.argv[3])
inputs = JClass("java.util.HashMap")()
start = time.perf_counter()
inputs.put("image", virtual)
for key, value in options.items():
    inputs.put(key, value)
outputs = JClass("org.quietframe.Scripts").runCommand(command, inputs, None)
problem = JClass("org.quietframe.Command").getLastProblem()
assert problem is None, problem
wall = time.perf_counter() - start
first = outputs.get(outputs.keySet().iterator().next())
planes = first.getStackSize()
for number in range(1, planes + 1):  # a result that is made when it is looked at is looked at
    first.getStack().getProcessor(number)
# The parts of the heap have their peaks at different times: their sum is more than was ever taken.
peak = sum(pool.getPeakUsage().getUsed() for pool in heap if str(pool.getType()) == "Heap memory")
peak = min(peak, JClass("java.lang.Runtime").getRuntime().maxMemory())
print("RESULT", json.dumps({"wall_s": wall, "with_all_planes_s": time.perf_counter() - start, "planes": int(planes),
    "peak_heap_mb": peak / 2**20, "result_is_virtual": bool(first.getStack().isVirtual())}))
"""


def call(code: str, *arguments: str) -> Any:
    """Run a row in a process of its own and return what it found."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise SystemExit(f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def write_exposure(path: Path, n: int, side: int) -> None:
    """Write a ramp of n reads of side x side pixels, uint16, read by read."""
    rng = np.random.default_rng(5)
    steps = rng.poisson(0.5, (8, side, side)).astype(np.uint16)
    noise = np.rint(5.0 * rng.standard_normal((8, side, side)) + 100).astype(np.uint16)

    def reads() -> Any:
        total = np.zeros((side, side), np.uint16)
        for i in range(n):
            total = total + np.roll(steps[i % 8], 7 * i, axis=1)
            yield total + np.roll(noise[i % 7], 13 * i, axis=1)

    write_planes(path, reads(), ImageMeta((n, side, side), "TYX"), dtype="uint16")


def measure(small: bool) -> dict[str, Any]:
    """Measure all rows."""
    side, n, calls = (128, 40, 2) if small else (512, 100, 6)
    result: dict[str, Any] = {"fit": {"shape": [n, side, side], **call(FIT, str(side), str(n), str(calls))}}
    side, n = (128, 100) if small else (512, 1000)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "large.tif"
        write_exposure(source, n, side)
        known = {"gain_e_per_adu": 1.0, "read_noise_e": 5.0, "full_well_e": 60000.0}
        rows = {
            "subtract guarded": ("Quietframe NDR Subtract", {"difference": 20}),
            "subtract rolling": ("Quietframe NDR Subtract", {"difference": 20, "spacing": "rolling"}),
            "fit": ("Quietframe NDR Fit", known),
            "calibrate and fit": ("Quietframe NDR Fit", {}),
        }
        virtual = {
            name: call(VIRTUAL, str(source), command, json.dumps(options)) for name, (command, options) in rows.items()
        }
        result["virtual, -Xmx512m"] = {
            "shape": [n, side, side],
            "file_mb": source.stat().st_size / 2**20,
            **virtual,
        }
    return result


def table(result: dict[str, Any]) -> str:
    """Return the rows as Markdown."""
    fit, virtual = result["fit"], result["virtual, -Xmx512m"]
    shape = " x ".join(map(str, virtual["shape"]))
    lines = [
        "# NDR in ImageJ",
        "",
        f"Machine: {result['machine']}. Written by `benchmarks/fiji_ndr.py`.",
        "",
        f"NDR Fit of {' x '.join(map(str, fit['shape']))} uint16, 2 threads where not said otherwise:",
        "",
        "| fit | Msamples/s | Msamples per second of CPU |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['msamples_per_s']:.0f} | {row['msamples_per_cpu_s']:.0f} |"
        for name, row in fit.items()
        if name != "shape"
    ]
    lines += [
        "",
        f"A virtual stack of {shape} uint16 ({virtual['file_mb']:.0f} MB) with -Xmx512m:",
        "",
        "| command | s | s with all planes of the result looked at | planes | Java heap at most [MB] |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['wall_s']:.1f} | {row['with_all_planes_s']:.1f} | {row['planes']}"
        f"{' (virtual)' if row['result_is_virtual'] else ''} | {row['peak_heap_mb']:.0f} |"
        for name, row in virtual.items()
        if isinstance(row, dict)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="try it out on small files; write nothing")
    small = parser.parse_args().small
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, load {os.getloadavg()[0]:.1f} at the start"
    )
    result = {"machine": machine, **measure(small)}
    print(table(result))
    if not small:
        (RESULTS / "fiji_ndr.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "fiji_ndr.md").write_text(table(result), encoding="utf-8")


if __name__ == "__main__":
    main()
