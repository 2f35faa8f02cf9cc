"""Kill -9 at 20 random moments each of ``train n2v``, ``denoise`` and ``export``: what is left under final names.

Run: ``python benchmarks/kill_moments.py [--times 20] [--seed 1]``; about four minutes on one core. Writes
``results/kill_moments.json`` and ``.md``; exit code 1 when a half file stands under a final name, or a run that was
killed and resumed ends with other weights than the one that was not.

The commands are forked from a process that has imported torch and ONNX Runtime, so that the moments fall into the work
and not into the imports; the moments are spread over the time of an undisturbed run and a fifth beyond it. A file under
a final name must be, byte for byte (``export``: file for file but for the description), the undisturbed run's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import runpy
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: one thread, so that sums have one order

import numpy as np
import onnxruntime  # noqa: F401  (before the forks)
import tifffile
import torch

from quietframe import cli

HERE = Path(__file__).resolve().parent
TRAINING = runpy.run_path(str(HERE.parent / "tests" / "killed_training.py"))


def forked(words: list[str]) -> int:
    """Start a command line in a forked process and return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = cli.run(words)
    finally:
        os._exit(code)


def duration(pid: int) -> float:
    """Wait for an undisturbed process and return its seconds."""
    started = time.monotonic()
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit("the undisturbed run failed")
    return time.monotonic() - started


def kill_at(pid: int, seconds: float) -> bool:
    """Kill a process after some seconds; return whether it was still at work."""
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def moments(whole: float, times: int, chance: random.Random) -> list[float]:
    """Draw one moment in each of `times` equal parts of 1.2 runs, since the next may be slower."""
    return [1.2 * whole * (number + chance.random()) / times for number in range(times)]


def kill_training(folder: Path, times: int, chance: random.Random) -> list[dict[str, Any]]:
    """Kill trainings, resume each, compare its weights with those of the undisturbed run."""
    picture = folder / "noisy.tif"
    tifffile.imwrite(picture, np.random.default_rng(3).poisson(50, (48, 48)).astype(np.uint16))
    child, whole_files, weights = (TRAINING[name] for name in ("child", "whole_files", "weights"))
    whole = duration(child(picture, folder / "whole", False))
    wanted, rows = weights(folder / "whole"), []
    for number, moment in enumerate(moments(whole, times, chance)):
        run = folder / f"run{number}"
        at_work = kill_at(child(picture, run, False), moment)
        left, partial = whole_files(run), len(list(run.glob(".*")))
        duration(child(picture, run, True))
        whole_files(run)
        found = weights(run)
        same = all(torch.equal(found[name], value) for name, value in wanted.items()) and not list(run.glob(".*"))
        rows.append({"at_s": moment, "at_work": at_work, "left": left, "partial_files": partial, "right": same})
    return rows


def kill_command(
    name: str, make: Callable[[Path], list[str]], digest: Callable[[Path], str], folder: Path, times: int,
    chance: random.Random,
) -> list[dict[str, Any]]:  # fmt: skip
    """Kill a command that writes one file; the file must be absent or whole, and written by the next call."""
    whole_out = folder / f"whole{name}"
    whole = duration(forked(make(whole_out)))
    wanted, rows = digest(whole_out), []
    for number, moment in enumerate(moments(whole, times, chance)):
        place = folder / f"kill{number}"
        place.mkdir()
        out = place / f"result{name}"
        at_work = kill_at(forked(make(out)), moment)
        there = sorted(path.name for path in place.iterdir())
        partial = [path for path in there if path.startswith(".") and ".partial-" in path]
        right = set(there) - set(partial) <= {out.name} and (not out.exists() or digest(out) == wanted)
        left = out.name if out.exists() else "nothing"
        duration(forked([*make(out), *(["--overwrite"] if out.exists() else [])]))
        row = {"at_s": moment, "at_work": at_work, "left": left, "partial_files": len(partial)}
        rows.append({**row, "right": right and digest(out) == wanted})
    return rows


def bytes_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents_of(path: Path) -> str:
    """Digest of the files of a package; of the description, that it is there."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            return "damaged"
        files = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in sorted(archive.namelist())}
    files["rdf.yaml"] = "there" if "rdf.yaml" in files else "missing"
    return json.dumps(files)


def table(results: dict[str, Any]) -> str:
    head = [
        f"# Kill -9 at {results['times']} random moments of each command",
        "",
        ", ".join(f"{key} {value}" for key, value in results["machine"].items()) + f"; seed {results['seed']}",
        "",
        "Right: no half file under a final name, and the next call (train: --resume) ends with the same bytes (train:",
        "the same weights, bit for bit) as a run that was not killed. A killed process leaves its temporary file,",
        "`.NAME.partial-PID`; train --resume and --overwrite remove those of the run.",
        "",
        "| command | killed at work | ended before | left a partial file | final names found after the kill | right |",
        "|--|--|--|--|--|--|",
    ]
    body = []
    for command, rows in results["commands"].items():
        left = "; ".join(f"{count} x {what}" for what, count in Counter(row["left"] for row in rows).items())
        at_work, partial, right = (sum(bool(row[key]) for row in rows) for key in ("at_work", "partial_files", "right"))
        body.append(f"| {command} | {at_work} | {len(rows) - at_work} | {partial} | {left} | {right} of {len(rows)} |")
    return "\n".join([*head, *body]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chance, times = random.Random(options.seed), options.times
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("train", "denoise", "export"):
            (root / folder).mkdir()
        train = kill_training(root / "train", times, chance)
        run, stack = root / "train" / "whole", root / "stack.tif"
        tifffile.imwrite(stack, np.random.default_rng(4).poisson(50, (40, 256, 256)).astype(np.uint16), imagej=True)
        denoise = kill_command(
            ".tif", lambda out: ["denoise", str(stack), str(out), "--model", str(run / "model.zip"), "--threads", "1"],
            bytes_of, root / "denoise", times, chance,
        )  # fmt: skip
        export = kill_command(
            ".zip", lambda out: ["export", str(run), str(out)], contents_of, root / "export", times, chance
        )
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__}
    commands = {"train n2v": train, "denoise": denoise, "export": export}
    results = {"machine": machine, "times": times, "seed": options.seed, "commands": commands}
    (HERE / "results" / "kill_moments.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (HERE / "results" / "kill_moments.md").write_text(table(results), encoding="utf-8")
    print(table(results))
    return 0 if all(row["right"] for rows in commands.values() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
