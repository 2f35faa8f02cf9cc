"""Draw what every filter makes of the same real picture, and write the table of filters, for ``docs/filters.md``.

The picture is a slice of ``cells3d_nuclei.tif`` (nuclei, spinning disk; Allen Institute for Cell Science by way of
scikit-image's ``cells3d``, public domain; in the data folder, ``QUIETFRAME_DATA``). Filters of volumes take the slices
around it, filters over time take them as frames (``--along Z``). Writes ``docs/images/filters.png``; about a minute.

    python benchmarks/filter_pictures.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from quietframe.filtering.catalogue import all_facts, as_table
from quietframe.filtering.files import Options, filter_image
from quietframe.filters import filter_names, load_filter
from quietframe.images import Image, read_image

mpl.use("Agg")
from matplotlib import pyplot

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))
SLICES, SHOWN = slice(22, 35), 6
COLUMNS = 6
SHOW = (slice(20, 116), slice(8, 104))
"""Rows and columns that are shown; more is filtered, so that no border is seen."""
SETTINGS: dict[str, dict[str, Any]] = {
    "variance": {"radius": 2.0},
    "top_hat": {"radius": 4.0},
    "subtract_background": {"rolling": 15.0},
    "unsharp_mask": {"radius": 2.0},
    "remove_outliers": {"radius": 1.5, "threshold": 1500.0},
    "gaussian_blur": {"sigma": 1.0},
    "gaussian_blur_3d": {"x": 1.0, "y": 1.0, "z": 1.0},
    "wiener_deconvolution": {"psf_sigma": 1.0, "balance": 0.1},
}
"""Where the usual settings show little on this picture; all others are shown with the usual ones."""
OWN_RANGE = {"variance", "top_hat", "subtract_background"}


def nuclei() -> Image:
    """Return the slices as uint16, axes ZYX."""
    stack = read_image(DATA / "misc" / "cells3d_nuclei.tif").array[SLICES, 50:210, 60:220]
    return Image(np.ascontiguousarray(stack), "ZYX")


def filtered(stack: Image, name: str) -> np.ndarray:
    """Return the shown slice of what a filter makes of the stack, or of that slice."""
    axes = load_filter(name).AXES
    picture = Image(stack.array[SHOWN], "YX") if axes == "YX" else stack
    options = Options(along="Z" if axes == "TYX" else None, dtype="float32")
    result = filter_image(picture, name, SETTINGS.get(name), options=options).array
    return result if axes == "YX" else result[SHOWN]


def write_table() -> None:
    """Put the list of all filters between the marks in the page."""
    page = HERE.parent / "docs" / "filters.md"
    before, mark, rest = page.read_text(encoding="utf-8").partition("<!-- filters -->\n")
    after = rest.partition("<!-- end of filters -->")
    page.write_text(before + mark + as_table(all_facts()) + "".join(after[1:]), encoding="utf-8")


def main() -> None:
    """Write the table and draw all filters on one sheet."""
    write_table()
    stack = nuclei()
    tiles = {"the picture": stack.array[SHOWN], **{name: filtered(stack, name) for name in filter_names()}}
    low, high = np.percentile(stack.array[SHOWN][SHOW], (1, 99.8))
    rows = -(-len(tiles) // COLUMNS)
    figure, panels = pyplot.subplots(rows, COLUMNS, figsize=(12, 2.22 * rows), dpi=100)
    for panel in panels.flat:
        panel.axis("off")
    for panel, (name, pixels) in zip(panels.flat, tiles.items(), strict=False):
        shown = pixels[SHOW].astype(float)
        limits = np.percentile(shown, (1, 99.8)) if name in OWN_RANGE else (low, high)
        panel.imshow(shown, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
        panel.set_title(name.replace("_", "-"), fontsize=10, pad=3)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.975, 0.03, 0.12)
    figure.savefig(HERE.parent / "docs" / "images" / "filters.png", metadata={"Software": ""})


if __name__ == "__main__":
    main()
