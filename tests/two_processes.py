"""Train on two processes, as ``torchrun`` would start them; run by a test in a process of its own.

Usage: ``python two_processes.py FOLDER PROCESSES``. The processes are forked from this one once torch is imported, so
that the second costs no import; each says which compiler modules its training has imported.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import numpy as np
import torch

from quietframe.methods import n2v
from quietframe.training import loop
from quietframe.training.patches import collect
from quietframe.training.schedule import Schedule

SETTINGS = n2v.Settings(filters=4, depth=1)


def job(run: Path) -> loop.Job:
    """Return the run that one process and two processes shall do alike; 5 patches do not divide by 2."""
    picture = np.random.default_rng(8).poisson(50, (96, 96)).astype(np.uint16)
    schedule = Schedule(steps=20, batch_size=5, patch_px=16, checkpoint_every=10, seed=3, precision="float32")
    return loop.Job("n2v", n2v, SETTINGS, schedule, collect([picture], ["a"]), run)


def main(folder: Path, processes: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(processes))
    children = [start(rank, folder / "run") for rank in range(processes)]
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))


def start(rank: int, run: Path) -> int:
    """Fork the process of a rank and return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
        torch.set_num_threads(1)
        told: list[int] = []
        loop.train(job(run), progress=lambda _, done, __: told.append(done))
        compilers = [name for name in ("torch._dynamo", "sympy") if name in sys.modules]
        print(f"process {rank} told {len(told)} steps and imported {compilers}", flush=True)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
