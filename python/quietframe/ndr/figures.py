"""How the figures of this room look, and how they are saved: matplotlib without `pyplot`, so no global state.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, OptionError

INK, MUTED = "#1c2430", "#8b95a3"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
NOISY, RESTORED = COLOURS[0], COLOURS[1]
FORMATS = (".png", ".pdf", ".svg")
DPI = 200


def check_format(path: Path) -> None:
    """Refuse a name whose suffix is no picture's.

    Raises
    ------
    OptionError
    """
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"{path}: unknown suffix {path.suffix!r}; a figure is written as {', '.join(FORMATS)}")


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of this size [inch].

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("the figure", "matplotlib", "report") from None
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Any, *, xlabel: str, ylabel: str, title: str = "") -> None:
    """Give axes their labels and the house's thin grid, without a box."""
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    if title:
        axes.set_title(title, color=INK, fontsize=9.5, fontweight="bold", loc="left")
    axes.tick_params(labelsize=8, colors=INK, width=0.6)
    axes.grid(visible=True, color="#e3e7ec", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)


def log_ticks(axes: Any, differences: Sequence[float]) -> None:
    """Make both axes logarithmic with plain numbers; the measured differences are the ticks of x, where they fit."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks: list[float] = []
    for value in sorted(differences):
        if not ticks or value >= 1.25 * ticks[-1]:
            ticks.append(value)
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.set_xticks([], minor=True)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def save(figure: Any, path: Path) -> None:
    """Save a figure; the suffix chooses the format. No time and no program is written into it."""
    suffix = path.suffix.lower()
    nothing = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    figure.savefig(path, format=suffix[1:], dpi=DPI, metadata=nothing[suffix])
