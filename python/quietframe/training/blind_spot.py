"""What blind-spot methods share: checks, the error at hidden pixels, and a look at the noise beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError, OptionError, unknown
from ..metrics.noise_correlation import SIGNIFICANT, NoiseCorrelation, noise_correlation
from .masks import REPLACEMENTS
from .patches import Pictures

PLANES = 4
"""The noise is looked at in up to this many planes, spread over all pictures."""


SHARED = 0.08
"""Correlation below which noise counts as independent."""


def check_percent(percent: float) -> None:
    """Refuse shares of hidden pixels that teach nothing.

    Raises
    ------
    OptionError
        When it is not 0.1 to 50 %.
    """
    if not 0.1 <= percent <= 50:
        raise OptionError(f"--masked-percent {percent:g}: give 0.1 to 50")


def check_replacement(settings: Any) -> None:
    """Refuse a ``replace`` that is unknown and a ``radius`` that is none.

    Raises
    ------
    OptionError
        When the name is not one of `masks.REPLACEMENTS`, or the radius not 1 to 7 px.
    """
    if settings.replace not in REPLACEMENTS:
        raise unknown("replacement", settings.replace, list(REPLACEMENTS))
    if not 1 <= settings.radius <= 7:
        raise OptionError(f"--radius {settings.radius}: give 1 to 7")


def error_at(mask: Tensor, prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error at the pixels where `mask` is true."""
    squares: Tensor = (prediction.float() - truth) ** 2
    return (squares * mask).sum() / mask.sum().clamp(min=1)


def measure_noise(pictures: Pictures) -> NoiseCorrelation | None:
    """Measure how the noise is correlated, as the mean over some planes; None where there is too little to see.

    Parameters
    ----------
    pictures
        Training data.
    """
    shapes = [stack.shape[:-2] for stack in pictures.sources]
    starts = np.concatenate([[0], np.cumsum([int(np.prod(shape)) for shape in shapes])])
    found = []
    for place in np.unique(np.linspace(0, starts[-1] - 1, PLANES).astype(int)):
        which = int(np.searchsorted(starts, place, side="right")) - 1
        index = np.unravel_index(place - starts[which], shapes[which])
        try:
            found.append(noise_correlation(np.asarray(pictures.sources[which][index])))
        except InputError:  # too small, clipped or without noise: nothing to say
            continue
    if not found:
        return None
    values = np.mean([one.values for one in found], axis=0)
    return NoiseCorrelation(values, sum(one.blocks for one in found))


def noise_notes(pictures: Pictures, method: str) -> list[str]:
    """Warn where correlated noise will spoil training with a blind spot of one pixel.

    Parameters
    ----------
    pictures
        Training data.
    method
        The method that is about to be trained.
    """
    found = measure_noise(pictures)
    advice = None if found is None else found.advice(method)
    return [] if advice is None else [advice]


def draw_correlation(path: Path, found: NoiseCorrelation, pattern: NDArray[np.bool_]) -> None:
    """Draw a noise correlation, with the border of the mask that follows from it, as PNG.

    Parameters
    ----------
    path
        File to write.
    found
        The correlation.
    pattern
        True at hidden pixels around the middle one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    edge = found.lags + 0.5
    shown = left.imshow(found.values, vmin=-1, vmax=1, cmap="RdBu_r", extent=(-edge, edge, edge, -edge))
    figure.colorbar(shown, ax=left, label="correlation")
    for y, x in np.argwhere(pattern) - np.array(pattern.shape) // 2:
        left.add_patch(_square(x, y))
    left.set(title="Noise, and what is hidden", xlabel="distance along x [px]", ylabel="distance along y [px]")
    lags = np.arange(found.lags + 1)
    right.plot(lags, found.values[found.lags, found.lags :], "o-", label="along x")
    right.plot(lags, found.values[found.lags :, found.lags], "s--", label="along y")
    right.axhline(SIGNIFICANT, color="0.6", linewidth=0.8, label="warned above, 1 px apart")
    right.set(title="Along the axes", xlabel="distance [px]", ylabel="correlation", ylim=(-0.2, 1.05))
    right.legend(frameon=False)
    canvas.print_png(path)


def _square(x: int, y: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="0.2", linewidth=0.6)


def auto_mask(pictures: Pictures, drawing: Path) -> tuple[NDArray[np.bool_], list[str]]:
    """Return the rectangle around a pixel that shares its noise, with sentences about it; draw what was measured.

    Parameters
    ----------
    pictures
        Training data.
    drawing
        PNG file to write.

    Raises
    ------
    InputError
        When the pictures are too small to tell.
    """
    found = measure_noise(pictures)
    if found is None:
        raise InputError("the pictures are too small to measure their noise; give --mask and --reach")
    reach = [_reach(found.values[found.lags :, found.lags]), _reach(found.values[found.lags, found.lags :])]
    pattern = np.ones([2 * r + 1 for r in reach], bool)
    draw_correlation(drawing, found, pattern)
    notes = [
        f"noise correlated by {found.x:.2f} (x) and {found.y:.2f} (y) one pixel apart, above {SHARED} up to "
        f"{reach[1]} px along x and {reach[0]} px along y: {pattern.shape[0]} x {pattern.shape[1]} px are hidden"
    ]
    if reach == [0, 0]:
        notes.append("the noise is white, so single pixels are hidden; n2v learns more from such pictures")
    return pattern, notes


def _reach(line: NDArray[np.float64]) -> int:
    """Return the last distance before the correlation falls below what counts."""
    below = np.flatnonzero(np.abs(line) < SHARED)
    return int(below[0] if below.size else len(line)) - 1
