"""Several processes train as one would: the same curve, the same weights, one writer."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quietframe.errors import OptionError
from quietframe.training import distributed, loop
from quietframe.training.checkpoint import load_checkpoint

SCRIPT = Path(__file__).with_name("two_processes.py")


def curve(run: Path) -> np.ndarray:
    with (run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row["loss"]), float(row["validation"])] for row in rows])


def two_processes() -> Any:
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not hasattr(torch, "distributed") or not torch.distributed.is_available(), reason="no distributed")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
def test_two_processes_have_the_curve_and_the_weights_of_one(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        command = [sys.executable, str(SCRIPT), str(tmp_path), "2"]
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, timeout=120, check=False)
    assert done.returncode == 0, log.read_text()
    said = sorted(line for line in log.read_text().splitlines() if line.startswith("process"))
    # the first process alone tells the progress; and training needs no compiler, whose import takes seconds
    assert said == ["process 0 told 20 steps and imported []", "process 1 told 0 steps and imported []"]
    one = loop.train(two_processes().job(tmp_path / "one"))
    # sums of gradients in another order differ by the rounding of float32, 6e-8 each; 20 steps of Adam let it grow
    np.testing.assert_allclose(curve(tmp_path / "run"), curve(tmp_path / "one"), rtol=1e-5)
    weights = load_checkpoint(tmp_path / "run")["denoiser"]["state"]
    for name, value in one.denoiser["state"].items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(OptionError, match="started process 4 on a machine with 2 GPUs; start one process per GPU"):
        distributed.join("cuda")


def test_a_cluster_that_numbers_its_jobs_is_no_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    for name, value in {"WORLD_SIZE": "4", "RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    assert distributed.join("cpu") == distributed.Crew(0, 1)


def test_a_batch_that_is_sought_is_refused_with_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed.torch.distributed, "is_initialized", lambda: True)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="--batch-size auto looks at one process; give a number"):
        distributed.join("cpu").check_batch("auto")
