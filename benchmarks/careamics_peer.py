"""The peer in the training benchmarks: CAREamics 0.3.5, run by `train_speed.py` and `train_pairs.py`.

It lives in an environment of its own, because its pins and ours do not go together:

    uv venv careamics-env && uv pip install --python careamics-env/bin/python careamics==0.3.5 "torch==2.11.*"
    CAREAMICS_PYTHON=careamics-env/bin/python python benchmarks/train_speed.py

Usage: ``careamics_peer.py TASK IN.npz OUT.npz [--steps N] [--threads T] [--batch B] [--tile N]``. Tasks: ``n2v``,
``care`` (2D) and ``care3d`` train on ``source`` (and ``target``) and denoise ``test`` where there is one; ``predict``
trains two steps and denoises ``test`` in tiles. One JSON object is printed: steps, CPU seconds per step (this process
and its loading workers, first ten steps left out), CPU seconds and peak memory of the prediction.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODEL = {"depth": 2, "num_channels_init": 32}


def cpu_seconds() -> float:
    """User and system seconds of this process and of its workers, living and gone."""
    import psutil

    process = psutil.Process()
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return float(total)


def peak_mb() -> float:
    """Largest resident memory of this process so far [MB]; what it inherited from its parent does not count."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def step_clock() -> Any:
    """Make a Lightning callback that notes the CPU seconds after every step."""
    from lightning.pytorch import Callback

    class Clock(Callback):
        def __init__(self) -> None:
            self.cpu: list[float] = []
            self.wall: list[float] = []
            self.patches: list[int] = []

        def on_train_batch_end(self, _trainer: Any, _module: Any, _outputs: Any, batch: Any, *_: Any) -> None:
            self.cpu.append(cpu_seconds())
            self.wall.append(time.perf_counter())
            first = batch[0] if isinstance(batch, (list, tuple)) else batch
            self.patches.append(len(getattr(first, "data", first)))

    return Clock()


def configuration(task: str, source: Any, options: argparse.Namespace) -> Any:
    from careamics.config import factories

    axes = {2: "YX", 3: "ZYX" if task == "care3d" else "SYX"}[source.ndim]
    patch = [16, 64, 64] if task == "care3d" else [64, 64]
    patches = 1
    for length, size in zip(source.shape[-len(patch) :], patch, strict=True):
        patches *= length // size
    patches *= source.shape[0] if axes == "SYX" else 1
    per_epoch = max(1, -(-(patches - 8) // options.batch))
    common = {
        "experiment_name": "peer",
        "data_type": "array",
        "axes": axes,
        "patch_size": patch,
        "batch_size": options.batch,
        "num_epochs": max(1, round(options.steps / per_epoch)),
        "model_params": dict(MODEL),
        "seed": 42,
        "trainer_params": {"accelerator": "cpu"},
    }
    if task in ("n2v", "predict"):
        return factories.create_advanced_n2v_config(**common)
    never = {"monitor": "val_loss", "mode": "min", "patience": 10**6}  # its default stops long before the last step
    return factories.create_advanced_care_config(**common, early_stopping_params=never)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["n2v", "care", "care3d", "predict"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tile", type=int, default=256)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import numpy as np
    import torch

    torch.set_num_threads(options.threads)
    from careamics import CAREamist

    data = np.load(options.source)
    clock = step_clock()
    if options.task == "predict":
        options.steps = 2
    found: dict[str, Any] = {"task": options.task, "torch": torch.__version__, "threads": options.threads}
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(options.task, data["source"], options)
        model = CAREamist(config, work_dir=Path(folder), callbacks=[clock], enable_progress_bar=False)
        begin = cpu_seconds()
        target = {"train_data_target": data["target"]} if "target" in data else {}
        model.train(train_data=data["source"], **target)
        found["cpu_s_fit"] = cpu_seconds() - begin
        found["steps"] = len(clock.cpu)
        if len(clock.cpu) > 20:
            # the last batch of its epochs is smaller, so a step is counted as `batch` patches
            steps = sum(clock.patches[11:]) / options.batch
            found["cpu_s_per_step"] = (clock.cpu[-1] - clock.cpu[10]) / steps
            found["wall_s_per_step"] = (clock.wall[-1] - clock.wall[10]) / steps
            found["mean_batch"] = sum(clock.patches[11:]) / len(clock.patches[11:])
        if "test" in data:
            tiles = {"tile_size": (options.tile,) * 2, "tile_overlap": (48, 48)} if options.task == "predict" else {}
            axes = config.data_config.axes
            test = data["test"][np.newaxis] if axes == "SYX" else data["test"]
            begin, wall = cpu_seconds(), time.perf_counter()
            result, _ = model.predict(test, axes=axes, batch_size=1, **tiles)
            found["predict_cpu_s"], found["predict_wall_s"] = cpu_seconds() - begin, time.perf_counter() - wall
            np.savez(options.out, result=np.squeeze(result[0]).astype(np.float32))
    found["peak_mb"] = peak_mb()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
