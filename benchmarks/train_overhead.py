"""What a training step costs beside its convolutions: patches, masks, optimiser, validation, logging, checkpoints.

Run: ``python benchmarks/train_overhead.py [--steps 200]``; 2 to 10 minutes. One thread. A run of 400 steps is begun (16
patches of 64 x 64, U-Net of depth 2 with 32 filters; 4 volumes of 16 x 64 x 64 for CARE in 3D) and ended after
``--steps``. After every ten steps the same net does ten bare ones, interleaved so that both see the same load:
forward and backward on a fixed batch, nothing else. Overhead is what the run takes more, in CPU seconds. The parts are
timed where they are called. The first picture of the curves imports matplotlib, once in a run whatever its length; it
is drawn before, and timed on its own. Writes ``results/train_overhead.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from quietframe.methods import care, n2v
from quietframe.training import loop
from quietframe.training.feed import Feed
from quietframe.training.history import write_curves
from quietframe.training.optimizer import AdamW
from quietframe.training.patches import Pictures, collect
from quietframe.training.schedule import Schedule

HERE = Path(__file__).resolve().parent
EVERY = 10
PARTS = ("patches", "optimiser", "validation", "checkpoints", "curves")


class Enough(Exception):
    """Ends a run when enough of its steps are timed."""


def scenes(planes: int, size: int) -> Pictures:
    """Return a stack of noisy pictures; how long a step takes does not depend on what they show."""
    return collect([np.random.default_rng(1).poisson(40, (planes, size, size)).astype(np.uint16)], ["stack"])


def volumes() -> Pictures:
    """Return pairs of volumes."""
    truth = np.random.default_rng(2).uniform(10, 50, (4, 32, 128, 128)).astype(np.float32)
    noisy = np.random.default_rng(3).poisson(truth).astype(np.float32)
    return collect([noisy], ["noisy"], [truth], ["truth"], dims=3)


CASES: dict[str, tuple[Any, Callable[[], Pictures], dict[str, Any]]] = {
    "n2v, one picture 512 x 512": (n2v, lambda: scenes(1, 512), {}),
    "n2v, a stack of 50 pictures": (n2v, lambda: scenes(50, 512), {}),
    "care, volumes": (care, volumes, {"batch_size": 4, "patch_z": 16}),
}


def timed(spent: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that adds its CPU time to `spent`."""

    def call(*arguments: Any, **options: Any) -> Any:
        start = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.process_time() - start

    return call


def measure(name: str, precision: str, steps: int) -> dict[str, Any]:
    """Train a while, with bare steps in between."""
    method, pictures, options = CASES[name]
    spent: dict[str, float] = defaultdict(float)
    nets: list[torch.nn.Module] = []
    bare_steps = 0
    every = 5 if "volumes" in name else EVERY
    warm = 2 * every
    schedule = Schedule(**{"precision": precision, "batch_size": 16, **options})
    settings = method.Settings(filters=32, depth=2)
    size = (16, 64, 64) if schedule.patch_z > 1 else (64, 64)
    layout = torch.channels_last_3d if schedule.patch_z > 1 else torch.channels_last
    batch = torch.randn(schedule.batch_size, 1, *size).to(memory_format=layout)
    start = time.process_time()

    def bare(net: torch.nn.Module) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            output = net(batch)
        net.zero_grad(set_to_none=True)
        (output.float() ** 2).mean().backward()

    def progress(_: str, done: int, __: int) -> None:
        nonlocal start, bare_steps
        if done % every:
            return
        if done > warm:
            spent["run"] += time.process_time() - start
        elif done == warm:
            spent.clear()
        start = time.process_time()
        net = nets[0]
        for _ in range(every):
            bare(net)
        if done > warm:
            spent["bare"] += time.process_time() - start
            bare_steps += every
        if done >= steps + warm:
            raise Enough
        start = time.process_time()

    def build(*arguments: Any) -> torch.nn.Module:
        nets.append(method.build(*arguments))
        return nets[0]

    parts = {"DATA": method.DATA, "build": build, "loss": method.loss, "denoiser": method.denoiser}
    with tempfile.TemporaryDirectory() as folder:
        job = loop.Job(name, type("Method", (), {k: staticmethod(v) if callable(v) else v for k, v in parts.items()}),
                       settings, schedule, pictures(), Path(folder) / "run")  # fmt: skip
        wrapped = [
            patch.object(Feed, "batch", timed(spent, "patches", Feed.batch)),
            patch.object(AdamW, "step", timed(spent, "optimiser", AdamW.step)),
            patch.object(loop, "_validate", timed(spent, "validation", loop._validate)),
            patch.object(loop, "_save", timed(spent, "checkpoints", loop._save)),
            patch.object(loop.Curves, "show", timed(spent, "curves", loop.Curves.show)),
        ]
        for one in wrapped:
            one.start()
        try:
            loop.train(job, progress=progress)
        except Enough:
            pass
        finally:
            for one in wrapped:
                one.stop()
    spent["validation"] -= spent["curves"]
    return row(name, precision, bare_steps, spent)


def row(name: str, precision: str, steps: int, spent: dict[str, float]) -> dict[str, Any]:
    """Return the figures of a case, per step."""
    run, bare = spent["run"] / steps, spent["bare"] / steps
    parts = {part: spent[part] / steps / run for part in PARTS}
    return {
        "case": name, "precision": precision, "steps": steps, "run_cpu_s": run, "bare_cpu_s": bare,
        "overhead": 1 - bare / run, **parts, "masks_and_rest": 1 - bare / run - sum(parts.values()),
    }  # fmt: skip


def first_picture() -> float:
    """Return the CPU time of a run's first picture of the curves, which imports matplotlib [s]."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        write_curves(Path(folder), [{"step": 1.0, "loss": 1.0, "validation": 1.0}])
    return time.process_time() - start


def write(rows: list[dict[str, Any]], picture_s: float) -> None:
    """Write the table."""
    about: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
    about |= {"threads": 1, "first_picture_cpu_s": picture_s}
    results = HERE / "results"
    (results / "train_overhead.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    names = [*PARTS, "masks_and_rest"]
    lines = [
        f"Share of a training step that is not forward and backward through the net, in CPU time, one thread, torch "
        f"{torch.__version__}. `python benchmarks/train_overhead.py`; wanted: at most 8 %.",
        "",
        "| run | precision | step, cpu-s | bare, cpu-s | beside the net | "
        + " | ".join(name.replace("_", " ") for name in names)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(names),
    ]
    for one in rows:
        shares = " | ".join(f"{100 * one[name]:.1f} %" for name in names)
        lines.append(
            f"| {one['case']} | {one['precision']} | {one['run_cpu_s']:.4f} | {one['bare_cpu_s']:.4f} | "
            f"**{100 * one['overhead']:.1f} %** | {shares} |"
        )
    lines += [
        "",
        "Rest: masks, losses, progress; it is a difference, so it carries the noise of the machine. Beside this ",
    ]
    lines += [
        f"each run, whatever its length, spends {picture_s:.1f} cpu-s on its first picture (importing matplotlib).",
        "",
    ]
    (results / "train_overhead.md").write_text("\n".join(lines))
    print("\n".join(lines))


def kept(measured: list[str]) -> list[dict[str, Any]]:
    """Return the rows of an earlier run that are not measured now."""
    path = HERE / "results" / "train_overhead.json"
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    return [one for one in rows if one["case"] not in measured]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--case", choices=list(CASES), action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, picture_s = kept(options.case or list(CASES)), first_picture()
    for name in options.case or CASES:
        for precision in ("bfloat16", "float32"):
            steps = options.steps if "volumes" not in name else 20
            if steps == 20 and precision == "float32":
                continue  # minutes for a case whose overhead is the smallest
            rows.append(measure(name, precision, steps))
            print(json.dumps(rows[-1]), flush=True)
            write(rows, picture_s)


if __name__ == "__main__":
    main()
