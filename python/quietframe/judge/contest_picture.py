"""The picture of a comparison: the noisy plane and every result, in one contrast, with what each reached."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError

_SIDE = 256
_INK = "#1c2430"


def contest_png(panels: Sequence[tuple[str, NDArray[Any]]]) -> bytes:
    """Draw planes side by side, enlarged where most structure is, in the contrast of the last results.

    Parameters
    ----------
    panels
        Title and plane (Y, X); the noisy one first, all of one shape.

    Returns
    -------
    bytes
        PNG.

    Raises
    ------
    MissingExtraError
        When matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("drawing the comparison", "matplotlib", "train") from None
    top, left = _liveliest(panels[-1][1])
    results = np.stack([plane[top : top + _SIDE, left : left + _SIDE] for _, plane in panels[1:]])
    low, high = np.percentile(results[np.isfinite(results)], (0.1, 99.9))
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    lines = max(title.count("\n") for title, _ in panels) + 1
    figure = Figure(figsize=(3.0 * columns, (3.05 + 0.2 * lines) * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (title, plane) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        part = plane[top : top + _SIDE, left : left + _SIDE]
        axes.imshow(part, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), interpolation="nearest")
        axes.set_title(title, fontsize=9, color=_INK)
        axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _liveliest(plane: NDArray[Any]) -> tuple[int, int]:
    """Return the corner of the part with most contrast, on a coarse grid."""
    height, width = plane.shape
    places = [
        (y, x)
        for y in range(0, max(1, height - _SIDE + 1), max(1, _SIDE // 2))
        for x in range(0, max(1, width - _SIDE + 1), max(1, _SIDE // 2))
    ]
    return max(places, key=lambda at: float(np.nanstd(plane[at[0] : at[0] + _SIDE, at[1] : at[1] + _SIDE])))
