"""What Appose costs: a picture from ImageJ to Python and back, above what Python computes meanwhile.

Denoise with engine=python on one picture, again and again, in a process that is kept: the time of the whole command in
Java less the time that the network takes in Python. The network is tiny, so that little else is in the way.

    python benchmarks/fiji_train.py [--size 2048] [--rounds 15] [--out benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MUST_MS = 60.0
"""Most that the way there and back may cost [ms]."""

TINY = {"patch_px": 32, "filters": 4, "depth": 1, "batch_size": 2, "device": "cpu"}


def round_trips(fiji: Any, model: Path, size: int, rounds: int) -> dict[str, Any]:
    """Time the calls in Java; the first, which starts Python, is told apart."""
    from jpype import JClass

    image = fiji.to_imageplus(np.random.default_rng(0).poisson(300, (size, size)).astype(np.float32))
    denoise = JClass("org.quietframe.PythonWorkerDenoise")
    above, computed = [], []
    for _ in range(rounds + 2):
        denoise.outputs(image, str(model), "cpu", "auto", 1, sys.executable)
        above.append(float(denoise.getLastTotal()) - float(denoise.getLastComputed()))
        computed.append(float(denoise.getLastComputed()))
    denoise.closeKept()
    return {"first_ms": above[0], "above_ms": above[2:], "computed_ms": statistics.median(computed[2:])}


def training(fiji: Any, folder: Path) -> dict[str, float]:
    """Time a tiny training from the command to the package in the models folder [s]."""
    from jpype import JClass

    JClass("java.lang.System").setProperty("quietframe.models", str(folder / "models"))
    picture = np.random.default_rng(0).poisson(300, (256, 256)).astype(np.uint16)
    start = time.perf_counter()
    made = fiji.run_command("Quietframe Train", picture, method="n2v", steps=20, python=sys.executable, **TINY)
    trained = time.perf_counter()
    fiji.run_command("Quietframe Denoise", picture, model=made["model"])
    return {"train_20_steps_s": trained - start, "then_denoise_s": time.perf_counter() - trained}


def table(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    middle, trips = result["above_middle_ms"], result["round_trip"]
    return "\n".join(
        [
            "# Python from ImageJ, by Appose",
            "",
            f"{result['machine']}. {result['size']}² float32 there and back through shared memory, with all that "
            f"Denoise does beside the network ({trips['computed_ms']:.0f} ms): the first call, which starts Python and "
            f"loads the model, {trips['first_ms'] / 1000:.1f} s; then fastest {min(trips['above_ms']):.1f} ms, slowest "
            f"{max(trips['above_ms']):.1f} ms of {len(trips['above_ms'])}. A training of 20 tiny steps, from the "
            f"command to the package in the list: {result['training']['train_20_steps_s']:.1f} s, nearly all of it the "
            "start of Python and the export.",
            "",
            "| what | must | measured | |",
            "|---|---|---|---|",
            f"| round trip {result['size']}² above the computation, middle [ms] | {MUST_MS:g} or less | {middle:.1f} | "
            f"{'reached' if middle <= MUST_MS else 'MISSED'} |",
            "",
        ]
    )


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    from quietframe.fiji.bridge import Fiji

    tiny = Path(__file__).resolve().parents[1] / "tests" / "fiji" / "onnx_models.py"
    with tempfile.TemporaryDirectory() as name, Fiji() as fiji:
        folder = Path(name)
        model = runpy.run_path(str(tiny))["write_model"](folder / "tiny.onnx")
        trips = round_trips(fiji, model, given.size, given.rounds)
        result = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "size": given.size,
            "above_middle_ms": statistics.median(trips["above_ms"]),
            "round_trip": trips,
            "training": training(fiji, folder),
        }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "fiji_train.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "fiji_train.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
