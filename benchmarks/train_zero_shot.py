"""The zero-shot net: what one 512 x 512 picture costs from the first line of Python to the written result.

The whole command, ``quietframe train zero_shot`` and ``quietframe denoise``'s work, in a process of its own: imports,
reading, training, package left out, denoising. "cpu_s" is all CPU time of that process, one thread. PSNR in dB at peak
255, the output as it is; "scaled" after the best a * x + b. "n2v_100" and "n2v_400" are Noise2Void after 100 and 400
steps from ``train_quality.json``, 17 and 65 CPU-seconds of training alone.

Run: ``python benchmarks/train_zero_shot.py``; needs the data folder (``QUIETFRAME_DATA``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from train_rows import DATA, HERE, Limit, Row, Rows, fmd, psnr, psnr_scaled

SETS = ("Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_BPAE_R", "Confocal_FISH", "TwoPhoton_MICE")

COMMAND = """
import sys, time
from pathlib import Path
picture, run, result = (Path(name) for name in sys.argv[1:])
import torch
torch.set_num_threads(1)
import numpy as np
from quietframe.images import read_image
from quietframe.methods import zero_shot
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job, train
from quietframe.training.patches import collect
from quietframe.training.schedule import Schedule
array = read_image(picture).array
train(Job("zero_shot", zero_shot, zero_shot.Settings(), Schedule(**zero_shot.SCHEDULE), collect([array], ["a"]), run))
with torch.inference_mode():
    denoised = load_trained(run).module(torch.from_numpy(array.astype(np.float32))[None, None])
np.save(result, denoised[0, 0].numpy())
print(time.process_time())
"""


def noise2void(steps: int) -> dict[str, float]:
    """Return what Noise2Void reached on each set, where ``train_quality.py`` has measured it."""
    path = HERE / "results" / "train_quality.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"].values() if path.is_file() else []
    return {row["set"]: row["psnr"] for row in rows if row.get("plan") == f"n2v_{steps}"}


def measure(name: str) -> Row:
    truth, noisy = fmd(name, "gt").astype(np.float64), fmd(name, 1)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.npy"
        picture = DATA / "fmd" / f"{name}_raw1.png"
        arguments = [str(picture), str(Path(folder) / "run"), str(result)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        printed = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments], check=True, capture_output=True, text=True, env=environment
        ).stdout
        denoised = np.load(result)
    row = {"noisy": psnr(truth, noisy), "denoised": psnr(truth, denoised), "scaled": psnr_scaled(truth, denoised)}
    return {**row, "cpu_s": float(printed)}


def main() -> None:
    rows = Rows(__file__, __doc__ or "")
    for name in SETS:
        rows.row(name, lambda name=name: measure(name))
    for name, row in rows.rows.items():
        row.update({f"n2v_{steps}": noise2void(steps).get(name) for steps in (100, 400)})
    limits: list[Limit] = []
    for name in SETS:
        if name in rows.rows:
            row = rows.rows[name]
            limits.append(Limit(f"{name}: CPU seconds in all", row["cpu_s"], high=20.0))
            limits.append(Limit(f"{name}: over the noisy picture [dB]", row["denoised"] - row["noisy"], 1.0))
    rows.report(limits, {"One noisy picture of 512 x 512 px": list(SETS)})


if __name__ == "__main__":
    main()
