"""Denoise in ImageJ beside Python, on the same network, picture and threads, in turns; and the memory of 100 calls.

Both run in one process, one after the other in every round, because a machine is not equally fast all the time. What
counts is the middle of the rounds' ratios. The memory is that of a process of its own whose Java heap has a fixed size.

    python benchmarks/fiji_denoise.py [--size 2048] [--threads 2] [--rounds 7] [--calls 100] [--out benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MODEL = runpy.run_path(str(Path(__file__).with_name("predict_large.py")))["MODEL"]

CALLS = """
import sys, time
import psutil
from quietframe.fiji import jvm
from quietframe.fiji.bridge import Fiji

model, calls = sys.argv[1], int(sys.argv[2])
before = jvm.start
# A heap that is there from the start: what grows afterwards is not Java's.
jvm.start = lambda jars, **options: before(jars, **{**options, "memory": "512m"})
import os
os.environ["JDK_JAVA_OPTIONS"] = os.environ["JAVA_TOOL_OPTIONS"] = "-Xms512m -XX:+AlwaysPreTouch"
fiji = Fiji()
from jpype import JClass
runtime = JClass("java.lang.Runtime").getRuntime()
macro = '''setBatchMode(true); newImage("noise", "32-bit noise", 512, 512, 1);
for (i = 0; i < CALLS; i++) { run("Quietframe Denoise", "model=[MODEL] provider=cpu tile=256 threads=1"); close(); }
'''.replace("MODEL", model)

def memory(count):
    fiji.run_macro(macro.replace("CALLS", str(count)))
    JClass("java.lang.System").gc()
    resident = min((time.sleep(0.1), psutil.Process().memory_info().rss)[1] for _ in range(20))
    return resident / 2**20, (runtime.totalMemory() - runtime.freeMemory()) / 2**20

print("MEMORY", *memory(10), *memory(calls - 10))
"""


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall time, CPU time of all threads [s] and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def compare(model: Path, size: int, threads: int, rounds: int) -> dict[str, Any]:
    """Denoise one picture in turns; the first turn, which loads and compiles, is left out."""
    from jpype import JClass

    from quietframe.fiji.bridge import Fiji
    from quietframe.inference.blocks import denoise_array
    from quietframe.inference.package import read_package
    from quietframe.inference.runner import Runner

    picture = np.random.default_rng(0).poisson(300, (size, size)).astype(np.uint16)
    fiji = Fiji()
    imageplus = fiji.to_imageplus(picture)
    denoise = JClass("org.quietframe.OnnxDenoiser").denoise
    runner = Runner(read_package(model), "cpu", threads)
    turns = []
    for number in range(rounds + 1):
        python = timed(lambda: denoise_array(picture[np.newaxis], runner)[0][0])
        imagej = timed(lambda: denoise(imageplus, str(model), "cpu", "auto", threads))
        if number:
            turns.append({"python": python[:2], "imagej": imagej[:2]})
    difference = np.abs(fiji.from_imageplus(imagej[2]).array - python[2]).max() / np.ptp(python[2])
    ratios = {
        kind: statistics.median(turn["imagej"][at] / turn["python"][at] for turn in turns)
        for at, kind in enumerate(("wall", "cpu"))
    }
    best = {who: [min(turn[who][at] for turn in turns) for at in range(2)] for who in ("python", "imagej")}
    return {"best_wall_cpu_s": best, "ratio": ratios, "difference_of_range": float(difference), "rounds": rounds}


def resident(model: Path, calls: int) -> dict[str, float]:
    """Return the resident memory and what lies in Java's heap [MB] after 10 and after all calls."""
    command = [sys.executable, "-c", CALLS, str(model), str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    line = next((text for text in done.stdout.splitlines() if text.startswith("MEMORY ")), None)
    if line is None:
        raise SystemExit(done.stderr)
    numbers = [float(text) for text in line.split()[1:]]
    return dict(zip(("resident_10", "heap_10", "resident_all", "heap_all"), numbers, strict=True))


def table(result: dict[str, Any]) -> str:
    """Write the result as Markdown, a row per number that must be reached."""
    speed, memory = result["speed"], result["memory_mb"]
    best = speed["best_wall_cpu_s"]
    growth = 100 * (memory["resident_all"] / memory["resident_10"] - 1)
    rows = [
        (
            f"Denoise {result['size']}², ImageJ over Python: wall time, middle of {speed['rounds']} turns",
            "1.1 or less",
            speed["ratio"]["wall"],
            speed["ratio"]["wall"] <= 1.1,
        ),
        ("the same, CPU time", "1.1 or less", speed["ratio"]["cpu"], speed["ratio"]["cpu"] <= 1.1),
        (
            "pixels differ, of the range",
            "1e-05 or less",
            speed["difference_of_range"],
            speed["difference_of_range"] <= 1e-5,
        ),
        (f"resident memory after {result['calls']} calls over after 10 [%]", "5 or less", growth, growth <= 5),
    ]
    return "\n".join(
        [
            "# Denoise in ImageJ",
            "",
            f"U-Net depth 2, 32 filters, tile auto, {result['threads']} threads, {result['machine']}. Best turn: "
            f"Python {best['python'][0]:.2f} s wall, {best['python'][1]:.2f} s CPU; ImageJ {best['imagej'][0]:.2f} s, "
            f"{best['imagej'][1]:.2f} s. Resident memory {memory['resident_10']:.0f} MB after 10 calls, "
            f"{memory['resident_all']:.0f} MB after {result['calls']}; in Java's heap {memory['heap_10']:.1f} and "
            f"{memory['heap_all']:.1f} MB.",
            "",
            "| what | must | measured | |",
            "|---|---|---|---|",
            *(
                f"| {what} | {must} | {value:.3g} | {'reached' if good else 'MISSED'} |"
                for what, must, value, good in rows
            ),
            "",
        ]
    )


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", MODEL, folder / "net.onnx", folder / "net.pt"], check=True)
        result = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "size": given.size,
            "threads": given.threads,
            "calls": given.calls,
            "memory_mb": resident(folder / "net.onnx", given.calls),
            "speed": compare(folder / "net.onnx", given.size, given.threads, given.rounds),
        }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "fiji_denoise.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "fiji_denoise.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
