"""The learning curves of a run: a table, a picture, and TensorBoard where it is installed; all kept up to date."""

from __future__ import annotations

import csv
import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..outputs import atomic_output

COLUMNS = ("step", "loss", "validation", "learning_rate")
"""First columns of the table: losses in normalised units, the training loss as the mean since the row before."""

Row = dict[str, float]


class Curves:
    """Write the curves of a run while it trains, seldom enough to cost no more than 2 % of its time.

    Parameters
    ----------
    run
        Run folder.
    every_s
        Shortest time between two pictures [s].
    """

    def __init__(self, run: Path, every_s: float = 10.0) -> None:
        self.run, self.every_s = run, every_s
        self._next = time.monotonic() + every_s
        self._board = _board(run)

    def show(self, history: Sequence[Row]) -> None:
        """Take the last row of a history; write table and picture if their time has come."""
        row = history[-1]
        if self._board is not None:
            for name in sorted(set(row) - {"step"}):
                self._board.add_scalar(name, row[name], int(row["step"]))
        start = time.monotonic()
        if start >= self._next:
            self.write(history)
            self._next = time.monotonic() + max(self.every_s, 50 * (time.monotonic() - start))

    def write(self, history: Sequence[Row]) -> None:
        """Write table and picture now."""
        write_history(self.run, history)
        write_curves(self.run, history)
        if self._board is not None:
            self._board.flush()

    def finish(self, history: Sequence[Row]) -> None:
        """Write table and picture for the last time."""
        self.write(history)
        if self._board is not None:
            self._board.close()


def _board(run: Path) -> Any:
    """Open a TensorBoard log in the run folder; None where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run / "tensorboard"))


def write_history(run: Path, history: Sequence[Mapping[str, float]]) -> Path:
    """Write ``history.csv`` into a run folder, one row per validation."""
    path = run / "history.csv"
    extra = sorted({name for row in history for name in row} - set(COLUMNS))
    with atomic_output(path, overwrite=True) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *extra], restval="")
        writer.writeheader()
        writer.writerows({**row, "step": int(row["step"])} for row in history)
    return path


def write_curves(run: Path, history: Sequence[Mapping[str, float]]) -> Path:
    """Draw the losses of a history to ``losses.png`` in a run folder."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "validation"):
        axes.plot([row["step"] for row in history], [row[name] for row in history], label=name, marker=".")
    positive = all(row[name] > 0 for row in history for name in ("loss", "validation") if row[name] == row[name])
    # a likelihood may be negative, where a logarithm shows nothing
    axes.set(xlabel="step", ylabel="loss (normalised units)", yscale="log" if positive else "linear")
    axes.legend()
    path = run / "losses.png"
    with atomic_output(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=120)
    return path
