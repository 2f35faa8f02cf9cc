"""Noise2Void on one picture of each confocal and two-photon set: PSNR against the ground truth, and what it costs.

Run: ``python benchmarks/train_n2v_quality.py [--steps 400] [--seed 42]``; needs the data folder (``QUIETFRAME_DATA``).
Writes ``results/train_n2v_quality.json`` and ``.md``. PSNR at peak 255, the output as it is; "scaled" after the best
a * x + b, which is the telling figure where the one noisy frame is brighter or darker than the mean of 50 (first
TwoPhoton_MICE frame: 13 % brighter, so that even its own expectation stays at 34.7 dB).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.io import imread

from quietframe.methods import n2v
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job, train
from quietframe.training.patches import collect
from quietframe.training.schedule import Schedule

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))
SETS = {"TwoPhoton_MICE": 31.12, "Confocal_FISH": 30.92, "Confocal_BPAE_B": 36.45, "Confocal_BPAE_G": 30.08}
"""Set -> PSNR of CAREamics 0.3.5 at 400 steps of equal patches and net size, measured once on a machine like this."""


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((picture - truth) ** 2)))


def scaled(truth: np.ndarray, picture: np.ndarray) -> np.ndarray:
    slope, offset = np.polyfit(picture.ravel(), truth.ravel(), 1)
    return slope * picture + offset


def machine() -> dict[str, object]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"cpu": model, "cores": os.cpu_count(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def measure(name: str, schedule: Schedule) -> dict[str, object]:
    raw = imread(DATA / "fmd" / f"{name}_raw1.png")
    truth = imread(DATA / "fmd" / f"{name}_gt.png").astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        run = Path(folder) / "run"
        state = train(Job("n2v", n2v, n2v.Settings(), schedule, collect([raw], [name]), run))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        trained = load_trained(run)
    with torch.inference_mode():
        result = trained.module(torch.from_numpy(raw.astype(np.float32))[None, None])[0, 0].numpy().astype(np.float64)
    return {
        "set": name,
        "noisy": psnr(truth, raw.astype(np.float64)),
        "denoised": psnr(truth, result),
        "careamics_400": SETS[name],
        "noisy_scaled": psnr(truth, scaled(truth, raw.astype(np.float64))),
        "denoised_scaled": psnr(truth, scaled(truth, result)),
        "best_step": state.best_step,
        "cpu_s": cpu,
        "wall_s": wall,
        "cpu_s_per_step": cpu / schedule.steps,
        "computed_on": trained.provenance["device"],
    }


def table(results: dict[str, Any], rows: list[dict[str, object]]) -> str:
    columns = ("set", "noisy", "denoised", "careamics_400", "noisy_scaled", "denoised_scaled", "cpu_s_per_step")
    head = [
        f"# Noise2Void, {results['steps']} steps of 16 patches of 64 px, one noisy picture (PSNR in dB, peak 255)",
        "",
        ", ".join(f"{key} {value}" for key, value in results["machine"].items()) + f"; seed {results['seed']}",
        "",
        "careamics_400: CAREamics 0.3.5, measured once on a machine like this, not in this run.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "--|" * len(columns),
    ]
    body = [
        "| " + " | ".join(f"{row[c]:.2f}" if isinstance(row[c], float) else str(row[c]) for c in columns) + " |"
        for row in rows
    ]
    return "\n".join([*head, *body]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    rows = []
    for name in options.sets.split(","):
        rows.append(measure(name, Schedule(steps=options.steps, seed=options.seed)))
        print(json.dumps(rows[-1]), flush=True)
    results = {"machine": machine(), "steps": options.steps, "seed": options.seed, "rows": rows}
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / "train_n2v_quality.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (folder / "train_n2v_quality.md").write_text(table(results, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
