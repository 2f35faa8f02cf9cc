"""What a training step and a prediction cost beside CAREamics: CPU seconds, the same sizes and threads, in one run.

Run: ``CAREAMICS_PYTHON=.../bin/python python benchmarks/train_speed.py [--threads 1] [--rounds 2]``;
`careamics_peer.py` says how to make that environment. Peer and ours take turns, each measurement in a process of its
own, the lowest figure of the rounds counts. A step is 16 patches of 64 x 64 (4 of 16 x 64 x 64 in 3D) through a U-Net
of depth 2 with 32 filters; masking, copies, validation, checkpoints and logging are included, the first ten steps left
out. Both nets have the same convolutions (166 GFLOP per megapixel in 2D). A prediction is 2048 x 2048 pixels in
float32; ours includes reading and writing the file.
Writes ``results/train_speed.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))
STEPS = {"n2v": 60, "care3d": 24}
BATCH = {"n2v": 16, "care3d": 4}
RUN = 400
"""Steps of the run that is measured, of which the first `STEPS` are made: how often it validates depends on it."""


class Measured(Exception):
    """Ends a run when enough of its steps are timed."""


def peak_mb() -> float:
    """Largest resident memory of this process so far [MB]; what it inherited from its parent does not count."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def write_inputs(folder: Path) -> None:
    """Write the picture, the volume and the large picture as the peer and we read them."""
    import tifffile
    from skimage.io import imread

    picture = imread(DATA / "fmd" / "Confocal_FISH_raw1.png").astype(np.float32)
    volume = np.random.default_rng(0).poisson(20, (32, 256, 256)).astype(np.float32)
    large = np.tile(picture, (4, 4))
    np.savez(folder / "n2v.npz", source=picture)
    np.savez(folder / "care3d.npz", source=volume, target=volume + 1)
    np.savez(folder / "predict.npz", source=picture, test=large)
    tifffile.imwrite(folder / "picture.tif", picture)
    tifffile.imwrite(folder / "large.tif", large)


def ours(task: str, folder: Path, precision: str) -> dict[str, Any]:
    """Measure this library in this process."""
    return predict(folder) if task == "predict" else step(task, folder, precision)


def step(task: str, folder: Path, precision: str) -> dict[str, Any]:
    """Train and time every step from the tenth on."""
    import torch

    from quietframe.methods import care, n2v
    from quietframe.training.loop import Job, train
    from quietframe.training.patches import collect
    from quietframe.training.schedule import Schedule

    data = np.load(folder / f"{task}.npz")
    volume = task == "care3d"
    method: Any = care if volume else n2v
    schedule = Schedule(
        steps=STEPS[task],
        batch_size=BATCH[task],
        patch_z=16 if volume else 1,
        precision=precision,  # type: ignore[arg-type]
    )
    targets = [data["target"]] if volume else None
    names = ["target"] if volume else None
    source = data["source"][np.newaxis] if volume else data["source"]
    targets = [target[np.newaxis] for target in targets] if targets else None
    pictures = collect([source], [task], targets, names, dims=3 if volume else 2)
    settings = method.Settings(depth=2, filters=32)
    cpu: list[float] = []

    def note(*_: object) -> None:
        cpu.append(time.process_time())
        if len(cpu) == STEPS[task]:
            raise Measured

    job = Job("care" if volume else "n2v", method, settings, schedule, pictures, folder / f"{task}-{precision}")
    with suppress(Measured):
        train(job, progress=note)
    net = method.build(settings, pictures.statistics())
    return {
        "cpu_s_per_step": (cpu[-1] - cpu[10]) / (len(cpu) - 11),
        "cpu_s_fit": time.process_time(),
        "parameters": sum(weights.numel() for weights in net.parameters()),
        "torch": torch.__version__,
        "peak_mb": peak_mb(),
    }


def predict(folder: Path) -> dict[str, Any]:
    """Denoise the large picture from file to file."""
    from quietframe.verbs.denoise import denoise

    begin, wall = time.process_time(), time.perf_counter()
    denoise(folder / "large.tif", folder / "large-denoised.tif", model=folder / "run" / "model.zip", overwrite=True)
    return {
        "predict_cpu_s": time.process_time() - begin,
        "predict_wall_s": time.perf_counter() - wall,
        "peak_mb": peak_mb(),
    }


def run(command: list[str], threads: int) -> dict[str, Any]:
    """Run one measurement in a process of its own and read the object it prints last."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=900)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(peer: str, threads: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Let the peer and us take turns."""
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        run_command = [str(Path(sys.executable).parent / "quietframe"), "train", "n2v", str(folder / "picture.tif")]
        run_command += ["--steps", "2", "--out", str(folder / "run")]
        subprocess.run(run_command, check=True, capture_output=True, timeout=900)
        for turn in range(rounds):
            for task in ("n2v", "care3d", "predict"):
                script = [
                    peer,
                    str(HERE / "careamics_peer.py"),
                    task,
                    str(folder / f"{task}.npz"),
                    str(folder / "o.npz"),
                ]
                options = ["--steps", str(STEPS.get(task, 2)), "--batch", str(BATCH.get(task, 16))]
                found.setdefault(f"{task} CAREamics", []).append(
                    run([*script, *options, "--threads", str(threads)], threads)
                )
                for precision in ("float32",) if task == "predict" else ("float32", "bfloat16"):
                    ours_command = [sys.executable, __file__, "--ours", task, str(folder), "--precision", precision]
                    found.setdefault(f"{task} {precision}", []).append(run(ours_command, threads))
            print(f"round {turn + 1} of {rounds} done", file=sys.stderr)
    return found


def limits(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Compare with what was to be reached."""

    def best(name: str, key: str) -> float:
        return float(min(measured[key] for measured in found[name]))

    rows = []
    for task, precision, key, allowed in (
        ("n2v", "bfloat16", "cpu_s_per_step", 0.40),
        ("n2v", "float32", "cpu_s_per_step", 0.70),
        ("care3d", "bfloat16", "cpu_s_per_step", 0.60),
        ("care3d", "float32", "cpu_s_per_step", 0.60),
        ("predict", "float32", "predict_cpu_s", 0.50),
    ):
        here, peer = best(f"{task} {precision}", key), best(f"{task} CAREamics", key)
        what = "2048 x 2048 prediction" if task == "predict" else f"{task} step"
        rows.append(
            {"what": f"{what}, {precision}", "allowed": allowed, "ratio": here / peer, "ours": here, "peer": peer}
        )
    return rows


def table(results: dict[str, Any]) -> str:
    """Lay the rows out in Markdown."""
    lines = [
        "# Training steps and predictions beside CAREamics 0.3.5, CPU seconds",
        "",
        ", ".join(f"{key} {value}" for key, value in results["machine"].items()),
        "",
        "## Limits",
        "| what | allowed | value | |",
        "|--|--|--|--|",
    ]
    for row in results["limits"]:
        verdict = "reached" if row["ratio"] <= row["allowed"] else "MISSED"
        what = f"{row['what']}: CPU seconds over CAREamics'"
        lines.append(f"| {what} | {row['allowed']:.2f} or less | {row['ratio']:.3f} | {verdict} |")
    lines += ["", "## CPU seconds", "| what | ours | CAREamics |", "|--|--|--|"]
    lines += [f"| {row['what']} | {row['ours']:.3f} | {row['peer']:.3f} |" for row in results["limits"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ours", nargs=2, metavar=("TASK", "FOLDER"), help="one measurement of ours (used by itself)")
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.ours[0], Path(options.ours[1]), options.precision)))
        return
    peer = os.environ.get("CAREAMICS_PYTHON")
    if not peer:
        raise SystemExit("set CAREAMICS_PYTHON to the Python that has careamics 0.3.5; see careamics_peer.py")
    found = measure(peer, options.threads, options.rounds)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "threads": options.threads}
    results = {"machine": machine, "limits": limits(found), "measurements": found}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "train_speed.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (HERE / "results" / "train_speed.md").write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
