"""Pictures for a report: noisy | result | difference in one contrast, an enlarged part, and what was invented.

matplotlib draws them into memory through its Agg canvas; `pyplot` is not imported, so no global state is touched and
it works without a display.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError
from ..metrics.single import Block
from .honesty import Z_LIMIT

_DPI = 144
_INK = "#1c2430"
_FRAME = "#f2a900"
_FLAGGED = "#e4002b"
_BLANK = "#8fa8c8"  # pixels that are not finite
_TEXT = {"color": _INK, "fontsize": 9}


@dataclass(frozen=True)
class Look:
    """How a picture is shown.

    Parameters
    ----------
    unit
        Unit of the pixel values, for the colour bar; empty when unknown.
    pixel_size_um
        Micrometres per pixel for the scale bar; None draws none.
    names
        Titles of the noisy picture and of the result.
    crop
        Part that is shown enlarged; None takes the part of the result with most structure.
    """

    unit: str = ""
    pixel_size_um: float | None = None
    names: tuple[str, str] = ("Noisy", "Denoised")
    crop: Block | None = None


def comparison_png(noisy: NDArray[Any], result: NDArray[Any], look: Look | None = None) -> bytes:
    """Draw noisy | result | difference (noisy - result), whole and enlarged, as PNG.

    Both pictures share one contrast, P0.1 to P99.9 of the result. The difference is drawn around 0 up to P99.5 of its
    size: a good result leaves noise there, and no structure.

    Parameters
    ----------
    noisy, result
        Planes (Y, X) of one shape and unit; pixels that are not finite are drawn blue-grey.
    look
        Unit, scale, names, crop.

    Raises
    ------
    InputError
        When the planes are not two of one shape.
    MissingExtraError
        When matplotlib is not installed.
    """
    look = look or Look()
    noisy, result = _floats(noisy), _floats(result)
    if noisy.shape != result.shape or noisy.ndim != 2:
        raise InputError(f"two planes (Y, X) of one shape are compared; got {noisy.shape} and {result.shape}")
    crop = look.crop or structured_block(result)
    rows, columns = slice(crop.y, crop.y + crop.height), slice(crop.x, crop.x + crop.width)
    difference = noisy - result
    gray = _limits(result)
    reach = _reach(difference)
    height = 3.55 * (result.shape[0] / result.shape[1] + crop.height / crop.width) + 1.0
    figure = _figure(11.0, min(height, 14.0))
    axes = figure.subplots(2, 3)
    titles = (*look.names, f"{look.names[0]} − {look.names[1]}")
    shown: list[Any] = []
    for column, (plane, limits) in enumerate(((noisy, gray), (result, gray), (difference, (-reach, reach)))):
        colours = "gray" if column < 2 else "RdBu_r"
        for row, part in enumerate((plane, plane[rows, columns])):
            shown.append(_show(axes[row, column], part, limits, colours))
            if column == 0:
                _scale_bar(axes[row, column], part.shape, look.pixel_size_um)
        axes[0, column].set_title(titles[column], **_TEXT, fontweight="bold")
        _outline(axes[0, column], crop)
    for row, label in enumerate(("whole picture", f"enlarged: {crop.width} x {crop.height} px")):
        axes[row, 0].set_ylabel(label, **_TEXT)
    _colour_bar(figure, shown[0], list(axes[1, :2]), look.unit)
    _colour_bar(figure, shown[-1], [axes[1, 2]], look.unit)
    return _png(figure)


def z_map_png(z_map: NDArray[Any], result: NDArray[Any], look: Look | None = None) -> bytes:
    """Draw the result with the flagged places outlined, beside the z map, as PNG.

    Parameters
    ----------
    z_map
        From `quietframe.judge.honesty`, plane (Y, X).
    result
        The denoised plane, same shape.
    look
        Unit, scale, names.

    Raises
    ------
    InputError, MissingExtraError
        As `comparison_png`.
    """
    look = look or Look()
    z_map, result = _floats(z_map), _floats(result)
    if z_map.shape != result.shape or result.ndim != 2:
        raise InputError(f"the z map and the result must be planes of one shape; got {z_map.shape} and {result.shape}")
    figure = _figure(11.0, min(5.2 * result.shape[0] / result.shape[1] + 0.9, 14.0))
    left, right = figure.subplots(1, 2)
    picture = _show(left, result, _limits(result), "gray")
    _scale_bar(left, result.shape, look.pixel_size_um)
    flagged = np.abs(z_map) > Z_LIMIT
    if flagged.any():
        left.contour(flagged, levels=[0.5], colors=[_FLAGGED], linewidths=1.0)
    left.set_title(f"{look.names[1]}, flagged places outlined", **_TEXT, fontweight="bold")
    scores = _show(right, z_map, (-2 * Z_LIMIT, 2 * Z_LIMIT), "RdBu_r")
    right.set_title("z = (repeat − result) / noise, over 5 x 5 pixels", **_TEXT, fontweight="bold")
    _colour_bar(figure, picture, [left], look.unit)
    _colour_bar(figure, scores, [right], f"z; flagged beyond ±{Z_LIMIT:g}")
    return _png(figure)


def structured_block(image: NDArray[Any]) -> Block:
    """Return a quarter-sized square (32 to 128 px) where the image varies most; hot pixels do not attract it."""
    from scipy.ndimage import uniform_filter

    image = _floats(image)
    side = min(max(32, min(image.shape) // 4), 128, *image.shape)
    low, high = _limits(image)
    flat = np.clip(np.nan_to_num(image, nan=low), low, high) - low
    half = side // 2
    # Read at their centre, these windows lie inside the picture.
    inner = slice(half, half + image.shape[0] - side + 1), slice(half, half + image.shape[1] - side + 1)
    variance = (uniform_filter(flat**2, side) - uniform_filter(flat, side) ** 2)[inner]
    y, x = divmod(int(variance.argmax()), variance.shape[1])
    return Block(x, y, side, side)


def nice_length_um(width_um: float) -> float:
    """Return the largest of 1, 2, 5 x 10^n that is at most a quarter of the width [um]."""
    target = width_um / 4
    decade = 10.0 ** math.floor(math.log10(target))
    return max(step * decade for step in (1, 2, 5) if step * decade <= target * (1 + 1e-12))


def _floats(image: NDArray[Any]) -> NDArray[np.float64]:
    array = np.asarray(image, dtype=np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def _limits(image: NDArray[np.float64]) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, (0.1, 99.9)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _reach(difference: NDArray[np.float64]) -> float:
    finite = np.abs(difference[np.isfinite(difference)])
    reach = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    return reach if reach > 0 else 1.0


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("a report", "matplotlib", "report") from None
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _show(axes: Any, plane: NDArray[np.float64], limits: tuple[float, float], colours: str) -> Any:
    from matplotlib import colormaps

    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#c3cad4")
    return axes.imshow(
        plane,
        cmap=colormaps[colours].with_extremes(bad=_BLANK),
        vmin=limits[0],
        vmax=limits[1],
        interpolation="auto",
    )


def _outline(axes: Any, crop: Block) -> None:
    from matplotlib.patches import Rectangle

    corner = (crop.x - 0.5, crop.y - 0.5)
    axes.add_patch(Rectangle(corner, crop.width, crop.height, fill=False, edgecolor=_FRAME, linewidth=1.2))


def _scale_bar(axes: Any, shape: tuple[int, ...], pixel_size_um: float | None) -> None:
    if pixel_size_um is None:
        return
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    length_um = nice_length_um(shape[1] * pixel_size_um)
    length_px, thickness = length_um / pixel_size_um, max(0.012 * shape[0], 0.5)
    x, y = 0.04 * shape[1] - 0.5, 0.94 * shape[0] - 0.5
    axes.add_patch(Rectangle((x, y), length_px, thickness, facecolor="white", edgecolor="black", linewidth=0.6))
    text = f"{length_um:g} µm" if length_um >= 1 else f"{1000 * length_um:g} nm"
    label = axes.text(x + length_px / 2, y - 0.01 * shape[0], text, color="white", fontsize=9, ha="center", va="bottom")
    label.set_path_effects([withStroke(linewidth=1.8, foreground="black")])


def _colour_bar(figure: Any, shown: Any, axes: list[Any], label: str) -> None:
    bar = figure.colorbar(shown, ax=axes, orientation="horizontal", shrink=0.62, aspect=38, pad=0.02)
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(labelsize=8, colors=_INK, width=0.5, length=2.5)
    if label:
        bar.set_label(label, **_TEXT)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
