"""The learning curves of a run, as a table and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from ..outputs import atomic_output

COLUMNS = ("step", "loss", "validation", "learning_rate")
"""Columns of the table: losses in normalised units, the training loss as the mean since the row before."""


def write_history(run: Path, history: Sequence[dict[str, float]]) -> Path:
    """Write ``history.csv`` into a run folder, one row per validation."""
    path = run / "history.csv"
    with atomic_output(path, overwrite=True) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**row, "step": int(row["step"])} for row in history)
    return path


def write_curves(run: Path, history: Sequence[dict[str, float]]) -> Path:
    """Draw the losses of a history to ``losses.png`` in a run folder."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "validation"):
        axes.plot([row["step"] for row in history], [row[name] for row in history], label=name, marker=".")
    axes.set(xlabel="step", ylabel="loss (normalised units)", yscale="log")
    axes.legend()
    path = run / "losses.png"
    with atomic_output(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=120)
    return path
