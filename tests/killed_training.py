"""Kill `quietframe train` at random moments, look at what it left, resume it; run by a test in a process of its own.

Usage: ``python killed_training.py PICTURE FOLDER TIMES SEED``. One line per kill; exit code 1 at the first fault. The
children are forked from this process once torch is imported, so that a kill costs no import.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sys
import time
import zipfile
from pathlib import Path

import torch
from matplotlib.figure import Figure
from skimage.io import imread

import quietframe_export.package  # noqa: F401  (before the forks, too)
from quietframe.methods import n2v
from quietframe.training.checkpoint import load_checkpoint
from quietframe.training.schedule import Schedule
from quietframe.verbs.train import make_command

STEPS = 30


def child(picture: Path, run: Path, resume: bool) -> int:
    """Start a training in a forked process and return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        make_command("n2v")(
            [picture],
            out=run,
            settings=n2v.Settings(filters=2, depth=1),
            schedule=Schedule(steps=STEPS, batch_size=2, patch_px=16, checkpoint_every=2),
            resume=resume,
        )
        code = 0
    finally:
        os._exit(code)


def whole_files(run: Path) -> str:
    """Check every file under its final name and return their names."""
    names = []
    for path in sorted(run.glob("[!.]*")):
        if path.name == "settings.json":
            json.loads(path.read_text())
        elif path.name == "checkpoint.pt":
            load_checkpoint(run)
        elif path.name == "history.csv":
            rows = list(csv.DictReader(path.open(newline="")))
            assert all(None not in row.values() for row in rows)
            assert path.read_bytes().endswith(b"\n")
        elif path.name == "losses.png":
            imread(path)
        elif path.name == "model.zip":
            assert zipfile.ZipFile(path).testzip() is None
        else:
            raise AssertionError(f"unexpected file {path.name}")
        names.append(path.name)
    return " ".join(names) or "nothing"


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(run)["denoiser"]["state"]
    return state


def main(picture: Path, folder: Path, times: int, seed: int) -> None:
    torch.set_num_threads(1)
    Figure().subplots()
    started = time.monotonic()
    _, status = os.waitpid(child(picture, folder / "whole", False), 0)
    assert status == 0, "the uninterrupted run failed"
    duration = time.monotonic() - started
    wanted = weights(folder / "whole")
    chance = random.Random(seed)
    for number in range(times):
        run = folder / f"killed{number}"
        pid = child(picture, run, False)
        # one kill in each part of the run, so that a few kills reach all of it
        time.sleep(duration * (number + chance.random()) / times)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        left = whole_files(run)
        _, status = os.waitpid(child(picture, run, True), 0)
        assert status == 0, f"resuming after {left} failed"
        whole_files(run)
        assert not list(run.glob(".*")), "a partial file was left"
        found = weights(run)
        same = all(torch.equal(found[name], wanted[name]) for name in wanted)
        print(f"killed with {left}: {'same weights' if same else 'OTHER WEIGHTS'}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
