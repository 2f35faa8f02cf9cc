"""How an exposure fills up: mean counts against the sub-frame with marked reads, and a line profile at each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError, OptionError
from ..metrics import single
from ..progress import Progress, silent
from ..rois import masks_from
from . import figures
from .exposure import Exposure

MARKS = 4
"""Reads marked when none are asked for."""


@dataclass(frozen=True)
class Profile:
    """What is drawn; reads count from 1.

    Parameters
    ----------
    means
        Mean of every read over the region, shape (N,), in `unit`, counted from the first valid read.
    marks
        Marked reads, from 1.
    row
        Row of the line profiles, from 0.
    lines
        Profile at each mark, shape (marks, X), in `unit`, counted from the first valid read.
    picture
        Last minus first valid read, shape (Y, X), in `unit`.
    first
        First valid read, from 1.
    unit, region
        In words.
    interval_s, pixel_size_um
        For the axes; None when unknown.
    """

    means: NDArray[np.float64]
    marks: tuple[int, ...]
    row: int
    lines: NDArray[np.float64]
    picture: NDArray[np.float64]
    first: int
    unit: str
    region: str
    interval_s: float | None
    pixel_size_um: float | None


def parse_marks(text: str | None, first: int, n_reads: int) -> tuple[int, ...]:
    """Read ``10,100,1000``; None: `MARKS` reads evenly spread, the last one included. Reads count from 1.

    Raises
    ------
    OptionError
        When a mark is no read after the first valid one.
    """
    if text is None:
        steps = np.linspace(first, n_reads, MARKS + 1)[1:]
        return tuple(dict.fromkeys(round(float(step)) for step in steps))
    try:
        marks = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise OptionError(
            f"marks are numbers of reads with commas between them, as 10,100,1000; got {text!r}"
        ) from None
    wrong = [mark for mark in marks if not first < mark <= n_reads]
    if wrong:
        raise OptionError(f"mark {wrong[0]} is not one of the reads {first + 1} to {n_reads} after the first valid one")
    return marks


def make_profile(
    exposure: Exposure, marks: str | None, row: int | None, region: str | None, *, progress: Progress = silent
) -> Profile:
    """Go once through the reads and keep what is drawn.

    Parameters
    ----------
    exposure
        Open.
    marks
        As for `parse_marks`.
    row
        Row of the line profiles, from 0; None: through the brightest 17 x 17 square.
    region
        Where counts are averaged: an ImageJ ROI or ``x,y,w,h``; None: the whole image.

    Raises
    ------
    InputError, OptionError
        For a mark, row or region that is not in the exposure.
    """
    n_reads, height, width = exposure.reads.shape
    start = exposure.first_valid
    marked = parse_marks(marks, start + 1, n_reads)
    if row is not None and not 0 <= row < height:
        raise OptionError(f"row {row} is not one of the rows 0 to {height - 1}")
    name, mask = _region(region, (height, width))
    gain = exposure.camera.gain_e_per_adu
    scale, unit = (1.0, "ADU") if gain is None else (gain, "e-")
    begin = exposure.reads.plane(start).astype(np.float64)
    means, lines = np.full(n_reads, np.nan), {}
    last = begin
    for number, plane in enumerate(exposure.reads.planes(start), start + 1):
        last = (plane - begin) * scale
        with np.errstate(invalid="ignore"):
            inside = last[mask]
            means[number - 1] = np.nanmean(inside) if np.isfinite(inside).any() else np.nan
        if number in marked:
            lines[number] = last
        progress("reading", number, n_reads)
    if row is None:
        row = _bright_row(last)
    profiles = np.stack([lines[mark][row] for mark in marked])
    pixel = exposure.pixel_size_um.get("X")
    return Profile(means, marked, row, profiles, last, start + 1, unit, name, exposure.interval_s, pixel)


def _region(spec: str | None, shape: tuple[int, int]) -> tuple[str, NDArray[np.bool_]]:
    if spec is None:
        return "whole image", np.ones(shape, bool)
    found = masks_from(spec, shape)
    if len(found) != 1:
        raise InputError(f"--region {spec} holds {len(found)} regions; give a file with one")
    if not found[0][1].any():
        raise InputError(f"--region {spec} holds no pixel of an image of {shape[1]} x {shape[0]}")
    return f"region {found[0][0]}", found[0][1]


def _bright_row(picture: NDArray[np.float64]) -> int:
    """Return the middle row of the brightest square, or of the brightest pixel where the image is too small."""
    finite = np.nan_to_num(picture, nan=float(np.nanmin(picture)) if np.isfinite(picture).any() else 0.0)
    if min(finite.shape) < single.BLOCK:
        return int(np.unravel_index(finite.argmax(), finite.shape)[0])
    block = single.brightest_block(finite)
    return block.y + block.height // 2


def draw(path: Path, profile: Profile) -> None:
    """Draw the ramp with its marks, the picture with the line, and the profile at each mark; PNG, PDF or SVG."""
    figure = figures.new_figure(9.6, 3.3)
    ramp, image, lines = figure.subplots(1, 3, width_ratios=(1.15, 0.85, 1.3))
    colours = _colours(len(profile.marks))
    _draw_ramp(ramp, profile, colours)
    _draw_picture(image, profile)
    x = np.arange(profile.lines.shape[1]) * (profile.pixel_size_um or 1.0)
    for mark, line, colour in zip(profile.marks[::-1], profile.lines[::-1], colours[::-1], strict=True):
        lines.plot(x, line, color=colour, linewidth=0.9, label=f"read {mark}")
    distance = "x (µm)" if profile.pixel_size_um else "x (px)"
    figures.tidy(lines, xlabel=distance, ylabel=f"counts since read {profile.first} ({profile.unit})", title="profiles")
    lines.margins(x=0.01)
    _leave_out_single_pixels(lines, profile.lines)
    lines.legend(fontsize=7.5, frameon=False, loc="upper right")
    figures.save(figure, path)


def _leave_out_single_pixels(axes: Any, lines: NDArray[np.float64]) -> None:
    """End the axis above the structure: a hot pixel, far above both its neighbours, runs out of the panel."""
    if lines.shape[1] < 5 or not np.isfinite(lines).any():
        return
    finite = np.nan_to_num(lines)
    smooth = ndimage.median_filter(finite, (1, 5), mode="nearest")
    low, high = float(np.percentile(finite, 0.5)), float(smooth.max())
    if finite.max() > 1.5 * high > 0:
        axes.set_ylim(min(low, 0.0) - 0.05 * high, 1.25 * high)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["viridis"](value) for value in np.linspace(0.85, 0.05, count)]


def _draw_ramp(axes: Any, profile: Profile, colours: list[Any]) -> None:
    reads = np.arange(1, len(profile.means) + 1)
    axes.plot(reads, profile.means, color=figures.INK, linewidth=1.3)
    for mark, colour in zip(profile.marks, colours, strict=True):
        value = profile.means[mark - 1]
        axes.plot([mark], [value], "o", color=colour, markersize=6, markeredgecolor="white", zorder=3)
        side = "right" if mark > 0.2 * len(reads) else "left"
        move = -7 if side == "right" else 7
        axes.annotate(
            f"{mark}", (mark, value), (move, 2 if move < 0 else -3), textcoords="offset points", fontsize=8, ha=side
        )
    label = f"mean since read {profile.first} ({profile.unit})"
    figures.tidy(axes, xlabel="sub-frame (from 1)", ylabel=label, title=f"ramp, {profile.region}")
    if profile.interval_s:
        seconds = profile.interval_s
        top = axes.secondary_xaxis("top", functions=(lambda n: (n - 1) * seconds, lambda t: t / seconds + 1))
        top.tick_params(labelsize=7.5, colors=figures.MUTED, width=0.5)
        top.set_xlabel("time (s)", fontsize=8, color=figures.MUTED)
        top.spines["top"].set_visible(False)
        axes.set_title("", loc="left")


def _draw_picture(axes: Any, profile: Profile) -> None:
    finite = profile.picture[np.isfinite(profile.picture)]
    low, high = np.percentile(finite, (0.5, 99.8)) if finite.size else (0.0, 1.0)
    axes.imshow(profile.picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), interpolation="antialiased")
    axes.axhline(profile.row, color="#f2a900", linewidth=0.9)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"read {len(profile.means)}, line y = {profile.row}", fontsize=9.5, fontweight="bold", loc="left")


def report(path: Path, profile: Profile) -> dict[str, Any]:
    """Return what ``ndr profile`` answers."""
    at = {str(mark): float(profile.means[mark - 1]) for mark in profile.marks}
    values = ", ".join(f"read {mark}: {value:.4g}" for mark, value in at.items())
    return {
        "out": str(path),
        "marks": list(profile.marks),
        "first": profile.first,
        "row": profile.row,
        "region": profile.region,
        "unit": profile.unit,
        "mean_at_marks": at,
        "means": profile.means.tolist(),
        "profiles": profile.lines.tolist(),
        "summary": [
            f"{path}: {len(profile.means)} reads, line profiles along row {profile.row} (from 0)",
            f"mean since read {profile.first} in {profile.unit}, {profile.region}: {values}",
        ],
    }
