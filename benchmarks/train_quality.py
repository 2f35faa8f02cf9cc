"""How good the single-picture methods are: PSNR against the ground truth, beside CAREamics, BM3D and a Gaussian.

Run: ``python benchmarks/train_quality.py [--only n2v_400,struct_n2v] [--sets Confocal_FISH] [--again]``; needs the data
folder (``QUIETFRAME_DATA``) and about 25 minutes of one core. Writes ``results/train_quality.json`` and ``.md``. Each
row is one training on the first noisy frame of one set; rows that are there with the same settings are kept, so a
change of one method costs its own rows alone (``--again`` trains all).

PSNR at peak 255, the output as it is; "scaled" after the best a * x + b, which is the telling figure where the one
noisy frame is brighter or darker than the mean of 50 (first TwoPhoton_MICE frame: 13 % brighter). What the others reach
on the same frames was measured once, on a machine like this: CAREamics 0.3.5 (N2V, 400 steps, same net size, patches
and batch), bm3d 4.0.3 behind a generalised Anscombe transform with the noise of two frames known, and a Gaussian of
the best width, known from the ground truth.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.io import imread

from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job, train
from quietframe.training.patches import collect
from quietframe.training.schedule import Schedule

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))
OUT = HERE / "results" / "train_quality"
BEST = "n2v_ensemble"

WHITE = ("Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_BPAE_R", "Confocal_FISH", "TwoPhoton_MICE")
WIDEFIELD = ("WideField_BPAE_B", "WideField_BPAE_G")
CAREAMICS = dict(zip(WHITE, (36.45, 30.08, 36.32, 30.92, 31.12), strict=True))
CAREAMICS_CPU_S = dict(zip(WHITE, (196.1, 182.5, 181.4, 179.6, 178.5), strict=True))
BM3D = dict(zip(WHITE, (37.69, 31.79, 38.19, 32.53, 32.23), strict=True))
BM3D_SCALED = dict(zip(WHITE, (38.40, 32.65, 38.71, 32.61, 35.52), strict=True))
GAUSSIAN = dict(zip(WIDEFIELD, (34.45, 32.67), strict=True))

PLANS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "n2v_400": ("n2v", WHITE, {"steps": 400}),
    "n2v_100": ("n2v", WHITE, {"steps": 100}),
    "best": (BEST, WHITE, {}),
    "struct_n2v": ("struct_n2v", WIDEFIELD, {}),
    "n2v_widefield": ("n2v", WIDEFIELD, {"steps": 400}),
}
"""Name -> method, sets, and what differs from the method's own schedule."""


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((picture - truth) ** 2)))


def scaled_psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    slope, offset = np.polyfit(picture.ravel(), truth.ravel(), 1)
    return psnr(truth, slope * picture + offset)


def machine() -> dict[str, object]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"cpu": model, "cores": os.cpu_count(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def measure(method: str, name: str, schedule: Schedule) -> dict[str, Any]:
    """Train on the first frame of a set and compare with its truth; the use is part of the CPU seconds."""
    module = import_module(f"quietframe.methods.{method}")
    raw = imread(DATA / "fmd" / f"{name}_raw1.png")
    truth = imread(DATA / "fmd" / f"{name}_gt.png").astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        run = Path(folder) / "run"
        state = train(Job(method, module, module.Settings(), schedule, collect([raw], [name]), run))
        trained = load_trained(run)
        with torch.inference_mode():
            result = trained.module(torch.from_numpy(raw.astype(np.float32))[None, None])[0, 0].double().numpy()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    noisy = raw.astype(np.float64)
    return {
        "noisy": psnr(truth, noisy),
        "noisy_scaled": scaled_psnr(truth, noisy),
        "psnr": psnr(truth, result),
        "scaled": scaled_psnr(truth, result),
        "cpu_s": cpu,
        "wall_s": wall,
        "notes": list(state.notes),
        "computed_on": trained.provenance["device"],
    }


def read() -> dict[str, dict[str, Any]]:
    """Return the rows that are there."""
    file = OUT.with_suffix(".json")
    found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else {}
    return found


def fill(plans: list[str], chosen: list[str], again: bool) -> None:
    """Train what is not there yet, and write after every row; another run may write its rows between."""
    for plan in plans:
        method, sets, options = PLANS[plan]
        module = import_module(f"quietframe.methods.{method}")
        schedule = replace(Schedule(), **{**getattr(module, "SCHEDULE", {}), **options})
        settings = {"settings": asdict(module.Settings()), "schedule": asdict(schedule)}
        for name in (name for name in sets if name in chosen):
            key = f"{plan}: {name}"
            if again or read().get(key, {}).get("made_with") != settings:
                row = {"plan": plan, "set": name, **measure(method, name, schedule), "made_with": settings}
                print(key, {k: v for k, v in row.items() if isinstance(v, float)}, flush=True)
                write({**read(), key: row})


def values(rows: dict[str, dict[str, Any]], plan: str, figure: Callable[[dict[str, Any]], float]) -> list[float]:
    """Return a figure of every row of a plan."""
    return [figure(row) for row in rows.values() if row["plan"] == plan]


def limits(rows: dict[str, dict[str, Any]]) -> list[tuple[str, str, float, bool]]:
    """Return what is asked for, the limit, the value, and whether it is reached."""
    n2v = values(rows, "n2v_400", lambda row: row["psnr"] - CAREAMICS[row["set"]])
    best = values(rows, "best", lambda row: row["psnr"] - CAREAMICS[row["set"]])
    cpu = values(rows, "best", lambda row: row["cpu_s"] / CAREAMICS_CPU_S[row["set"]])
    seconds = values(rows, "best", lambda row: row["cpu_s"])
    short = values(rows, "n2v_100", lambda row: row["psnr"] - row["noisy"])
    plain = sorted(values(rows, "best", lambda row: row["psnr"] - BM3D[row["set"]]))
    scaled = sorted(values(rows, "best", lambda row: row["scaled"] - BM3D_SCALED[row["set"]]))
    n2v_wide = {row["set"]: row["psnr"] for row in rows.values() if row["plan"] == "n2v_widefield"}
    gain = values(rows, "struct_n2v", lambda row: row["psnr"] - n2v_wide.get(row["set"], np.inf))
    wide = values(rows, "struct_n2v", lambda row: row["psnr"] - GAUSSIAN[row["set"]])

    def over(what: str, limit: float, value: float) -> tuple[str, str, float, bool]:
        return what, f"{limit:g} or more", value, value >= limit

    found = []
    if len(n2v) == len(WHITE):
        found.append(over("N2V, 400 steps, over CAREamics on the worst set [dB]", -0.05, min(n2v)))
        found.append(over("N2V, 400 steps, over CAREamics, mean of 5 sets [dB]", 1.2, float(np.mean(n2v))))
    if len(short) == len(WHITE):
        found.append(over("N2V, 100 steps, over its noisy input on the worst set of white noise [dB]", 0, min(short)))
    if len(best) == len(WHITE):
        found.append(over(f"{BEST} over CAREamics, mean of 5 sets [dB]", 1.5, float(np.mean(best))))
        found.append((f"{BEST}: CPU seconds / CAREamics', largest", "1 or less", max(cpu), max(cpu) <= 1))
        found.append((f"{BEST}: CPU seconds, largest", "180 or less", max(seconds), max(seconds) <= 180))
        for what, margins in (("PSNR", plain), ("scaled PSNR", scaled)):
            found.append(over(f"{BEST} over BM3D + VST, {what}, 2nd worst of 5 sets [dB]", 0, margins[1]))
            found.append(over(f"{BEST} over BM3D + VST, {what}, worst set [dB]", -0.2, margins[0]))
    if len(wide) == len(n2v_wide) == len(WIDEFIELD):
        found.append(over("struct_n2v over n2v, worst widefield set [dB]", 3, min(gain)))
        found.append(over("struct_n2v over the best Gaussian, worst widefield set [dB]", -1.5, min(wide)))
    return found


def write(rows: dict[str, dict[str, Any]]) -> None:
    """Write rows, in the order of the plans, and table."""
    about = machine()
    order = [f"{plan}: {name}" for plan, (_, sets, _) in PLANS.items() for name in sets]
    rows = {key: rows[key] for key in order if key in rows}
    OUT.parent.mkdir(exist_ok=True)
    OUT.with_suffix(".json").write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n", "utf-8")
    lines = [
        "# One noisy picture: quality of the methods that need no other",
        ", ".join(f"{key} {value}" for key, value in about.items()) + ". Made by `benchmarks/train_quality.py`.",
        "",
        "## Limits",
        "| what | allowed | value | |",
        "|--|--|--|--|",
        *(
            f"| {what} | {limit} | {value:.3g} | {'reached' if met else 'MISSED'} |"
            for what, limit, value, met in limits(rows)
        ),
    ]
    for plan, (method, _, _) in PLANS.items():
        chosen = [row for row in rows.values() if row["plan"] == plan]
        if not chosen:
            continue
        schedule = chosen[0]["made_with"]["schedule"]
        title = f"## {method}, {schedule['steps']} steps of {schedule['batch_size']} patches (PSNR in dB, peak 255)"
        peers = {"n2v_widefield": [("Gaussian", GAUSSIAN)], "struct_n2v": [("Gaussian", GAUSSIAN)]}.get(
            plan, [("CAREamics", CAREAMICS), ("BM3D + VST", BM3D), ("BM3D + VST, scaled", BM3D_SCALED)]
        )
        head = ["set", "noisy", "denoised", "noisy, scaled", "denoised, scaled", *(name for name, _ in peers), "CPU s"]
        lines += ["", title, "| " + " | ".join(head) + " |", "|" + "--|" * len(head)]
        for row in chosen:
            cells = [row[key] for key in ("noisy", "psnr", "noisy_scaled", "scaled")]
            cells += [table[row["set"]] for _, table in peers]
            lines.append(
                f"| {row['set']} | " + " | ".join(f"{cell:.2f}" for cell in cells) + f" | {row['cpu_s']:.0f} |"
            )
    OUT.with_suffix(".md").write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PLANS), help="plans to make, separated by commas")
    parser.add_argument("--sets", default=",".join((*WHITE, *WIDEFIELD)), help="sets to make, separated by commas")
    parser.add_argument("--again", action="store_true", help="train also what is there")
    options = parser.parse_args()
    fill(options.only.split(","), options.sets.split(","), options.again)
    write(read())


if __name__ == "__main__":
    main()
