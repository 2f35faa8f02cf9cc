"""Rows of a training benchmark: each one is kept as soon as it is measured, so that a stopped benchmark continues.

A benchmark makes `Rows`, asks it for each row by name with the function that measures it, and ends with `report`, which
writes ``results/<name>.md`` beside ``results/<name>.json``. Rows that are there are not measured again but for
``--again TEXT`` (rows with this text in their name; "" for all); ``--only TEXT`` measures no others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quietframe.training.checkpoint import Trained, load_trained
from quietframe.training.loop import Job, train
from quietframe.training.patches import Pictures
from quietframe.training.schedule import Schedule

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))
Row = dict[str, Any]


@dataclass(frozen=True)
class Limit:
    """A number that has to be reached."""

    what: str
    value: float
    low: float = -np.inf
    high: float = np.inf

    def line(self) -> str:
        """Return its line of the table."""
        both = np.isfinite(self.low) and np.isfinite(self.high)
        one = f"{self.low:g} or more" if np.isfinite(self.low) else f"{self.high:g} or less"
        allowed = f"{self.low:g} to {self.high:g}" if both else one
        reached = "reached" if self.low <= self.value <= self.high else "MISSED"
        return f"| {self.what} | {allowed} | {self.value:.4g} | {reached} |"


@dataclass
class Rows:
    """The rows of one benchmark.

    Parameters
    ----------
    script
        ``__file__`` of the benchmark; its name is the name of the results.
    about
        Its docstring; the first line becomes the title, the rest is printed under it.
    """

    script: str
    about: str
    only: str = ""
    again: str | None = None
    rows: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parser = argparse.ArgumentParser(description=self.about)
        parser.add_argument("--only", default="", help="measure rows with this text in their name alone")
        parser.add_argument("--again", help="measure rows with this text in their name again")
        options = parser.parse_args()
        self.only, self.again = options.only, options.again
        torch.set_num_threads(1)
        self.path = HERE / "results" / f"{Path(self.script).stem}.json"
        self._load()

    def _load(self) -> None:
        """Take the rows on disk, some of which another run of the same benchmark may have measured meanwhile."""
        if self.path.is_file():
            self.rows = {**self.rows, **json.loads(self.path.read_text(encoding="utf-8"))["rows"]}

    def row(self, name: str, measure: Callable[[], Row]) -> Row | None:
        """Return a row, measured now unless it is there; None where it is neither there nor wanted."""
        wanted = self.only in name
        self._load()
        if wanted and (name not in self.rows or (self.again is not None and self.again in name)):
            start = time.process_time()
            row = measure()
            self._load()
            self.rows[name] = {**row, "row_cpu_s": round(time.process_time() - start, 2)}
            print(name, json.dumps(self.rows[name]), flush=True)
            self.path.parent.mkdir(exist_ok=True)
            kept = {"machine": machine(), "rows": self.rows}
            partial = self.path.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
            partial.replace(self.path)
        return self.rows.get(name)

    def report(self, limits: Sequence[Limit], tables: dict[str, list[str]]) -> None:
        """Write the limits and, under each heading, the rows named, with all their columns."""
        title, _, rest = self.about.strip().partition("\n")
        words = ", ".join(f"{key} {value}" for key, value in machine().items())
        lines = [f"# {title.rstrip('.')}", "", rest.strip(), "", f"Machine: {words}. One thread."]
        lines += ["", "## Limits", "| what | allowed | value | |", "|--|--|--|--|", *(limit.line() for limit in limits)]
        for heading, names in tables.items():
            found = [(name, self.rows[name]) for name in names if name in self.rows]
            columns = list(dict.fromkeys(key for _, row in found for key in row))
            lines += ["", f"## {heading}", "| row | " + " | ".join(columns) + " |", "|--|" + "--|" * len(columns)]
            lines += [f"| {name} | " + " | ".join(_cell(row.get(key)) for key in columns) + " |" for name, row in found]
        self.path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def machine() -> dict[str, object]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"cpu": model, "cores": os.cpu_count(), "torch": torch.__version__}


def psnr(truth: np.ndarray, picture: np.ndarray, peak: float = 255.0) -> float:
    """PSNR of a picture as it is [dB]."""
    return float(10 * np.log10(peak**2 / np.mean((picture.astype(np.float64) - truth) ** 2)))


def psnr_scaled(truth: np.ndarray, picture: np.ndarray, peak: float = 255.0) -> float:
    """PSNR after the best a * x + b [dB]."""
    slope, offset = np.polyfit(picture.astype(np.float64).ravel(), np.asarray(truth, np.float64).ravel(), 1)
    return psnr(truth, slope * picture + offset, peak)


def fmd(name: str, number: int | str) -> np.ndarray:
    """Return raw picture `number`, or ``"gt"``, of a set of ``data/fmd``."""
    from skimage.io import imread

    kind = number if number == "gt" else f"raw{number}"
    return np.asarray(imread(DATA / "fmd" / f"{name}_{kind}.png"))


def fmd_numbers(name: str) -> list[int]:
    """Return the numbers of a set's raw pictures; one set lacks raw 2."""
    return [number for number in (1, 2, 3, 4) if (DATA / "fmd" / f"{name}_raw{number}.png").is_file()]


def fit(method: str, pictures: Pictures, settings: Row | None = None, **schedule: Any) -> tuple[Trained, Row]:
    """Train a method with its own defaults but for what is given; return it with what the training cost."""
    module = import_module(f"quietframe.methods.{method}")
    options = {**getattr(module, "SCHEDULE", {}), **schedule}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        start = time.process_time()
        state = train(Job(method, module, module.Settings(**(settings or {})), Schedule(**options), pictures, run))
        cost = {"steps": state.step, "best_step": state.best_step, "train_cpu_s": time.process_time() - start}
        return load_trained(run), {**cost, **{name: float(value) for name, value in state.figures.items()}}


def denoise(trained: Trained, picture: np.ndarray) -> list[np.ndarray]:
    """Return each output for one plane or volume, float64."""
    with torch.inference_mode():
        result = trained.module(torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None])
    return [part[0, 0].numpy().astype(np.float64) for part in (result if isinstance(result, tuple) else (result,))]
