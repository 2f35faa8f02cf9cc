"""Report SNR and PSNR' of every frame of a stack, in two regions that are given or found."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError
from ..images import ImageReader, open_image, require_gray
from ..metrics import single
from ..outputs import check_output
from ..rois import masks_from

COLUMNS = ("file", "frame", "label", "snr", "snr_background_subtracted", "psnr_prime", "bright_mean", "dark_std")


@dataclass(frozen=True)
class Regions:
    """The two regions of a report.

    Parameters
    ----------
    bright, dark
        Masks of shape (Y, X).
    bright_name, dark_name
        What they are called in the output.
    notes
        Sentences for the user: which region was found automatically.
    """

    bright: NDArray[np.bool_]
    dark: NDArray[np.bool_]
    bright_name: str
    dark_name: str
    notes: tuple[str, ...]


def choose_regions(reader: ImageReader, bright: str | None, dark: str | None) -> Regions:
    """Take the regions from the user, or find the brightest and darkest square of the mean over all frames.

    Parameters
    ----------
    reader
        The stack.
    bright, dark
        A ``.roi`` file, a ``RoiSet.zip`` with one ROI, or ``x,y,w,h``; None: found.
    """
    shape = reader.shape[-2:]
    notes: list[str] = []
    mean = None
    if bright is None or dark is None:
        mean = _mean_frame(reader)
    chosen: list[tuple[str, NDArray[np.bool_]]] = []
    for name, spec, find in (("bright", bright, single.brightest_block), ("dark", dark, single.darkest_block)):
        if spec is not None:
            chosen.append(_one_region(spec, shape, name))
            continue
        assert mean is not None
        block = find(mean)
        chosen.append((str(block), block.mask(shape)))
        notes.append(f"{name} region found: x,y,w,h = {block} of the mean over all frames; --{name} sets it")
    (bright_name, bright_mask), (dark_name, dark_mask) = chosen
    return Regions(bright_mask, dark_mask, bright_name, dark_name, tuple(notes))


def _one_region(spec: str, shape: Sequence[int], name: str) -> tuple[str, NDArray[np.bool_]]:
    found = masks_from(spec, shape)
    if len(found) != 1:
        names = ", ".join(repr(entry) for entry, _ in found)
        raise InputError(f"--{name} {spec} holds {len(found)} regions ({names}); give a file with one")
    return found[0]


def _mean_frame(reader: ImageReader) -> NDArray[np.float64]:
    total = np.zeros(reader.shape[-2:])
    for plane in reader.planes():
        total += plane
    return total / reader.n_planes


def measure_frames(reader: ImageReader, regions: Regions) -> list[dict[str, Any]]:
    """Measure every frame; see `quietframe.metrics.single` for the definitions.

    Returns
    -------
    list of dict
        One per frame, keys as `COLUMNS`; frames count from 1.
    """
    if tuple(reader.shape[-2:]) != regions.bright.shape:
        raise InputError(
            f"{reader.path} is {reader.shape[-2]} x {reader.shape[-1]}, but the regions belong to an image of "
            f"{regions.bright.shape[0]} x {regions.bright.shape[1]} pixels (Y x X); measure it alone"
        )
    rows = []
    for number, plane in enumerate(reader.planes(), 1):
        bright = single.region_statistics(plane, regions.bright, name="bright region")
        dark = single.region_statistics(plane, regions.dark, name="dark region")
        rows.append(
            {
                "file": str(reader.path),
                "frame": number,
                "label": reader.labels[number - 1] if reader.labels else "",
                "snr": single.report_snr(plane, regions.bright, regions.dark),
                "snr_background_subtracted": single.report_snr(
                    plane, regions.bright, regions.dark, subtract_background=True
                ),
                "psnr_prime": single.psnr_prime(plane, regions.dark),
                "bright_mean": bright.mean,
                "dark_std": dark.std,
            }
        )
    return rows


def means_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the means over frames of the three figures."""
    return {name: float(np.mean([row[name] for row in rows])) for name in COLUMNS[3:6]}


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one line per frame, comma-separated, with a heading."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw SNR and PSNR' against the frame, one line per file, PNG or PDF by suffix.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("the plot", "matplotlib", "report") from None
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    files = list(dict.fromkeys(row["file"] for row in rows))
    for axis, name, title in zip(axes, ("snr", "psnr_prime"), ("report SNR", "PSNR'"), strict=True):
        for file in files:
            mine = [row for row in rows if row["file"] == file]
            axis.plot([row["frame"] for row in mine], [row[name] for row in mine], ".-", label=Path(file).name)
        axis.set(xlabel="frame", ylabel=title)
    axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=150)


def open_gray(path: Path) -> ImageReader:
    """Open a gray image or stack to be measured."""
    reader = open_image(path)
    try:
        require_gray(reader, path)
    except BaseException:
        reader.close()
        raise
    return reader


def check_outputs(*paths: Path | None, overwrite: bool) -> None:
    """Check the files to be written that were asked for."""
    for path in paths:
        if path is not None:
            check_output(path, overwrite=overwrite)


def summarize(
    rows: list[dict[str, Any]], means: dict[str, dict[str, float]], regions: Regions | None
) -> dict[str, Any]:
    """Return what ``ndr measure`` answers; with two files also the percent gain of the second over the first."""
    if regions is None:
        raise InputError("give at least one file to measure")
    lines = [f"bright region {regions.bright_name}, dark region {regions.dark_name}", *regions.notes]
    for file, values in means.items():
        frames = sum(row["file"] == file for row in rows)
        lines.append(
            f"{file}: SNR {values['snr']:.4g} (background subtracted {values['snr_background_subtracted']:.4g}), "
            f"PSNR' {values['psnr_prime']:.4g}, mean of {frames} frame{'s' if frames != 1 else ''}"
        )
    result: dict[str, Any] = {
        "bright": regions.bright_name,
        "dark": regions.dark_name,
        "means": means,
        "frames": rows,
        "notes": list(regions.notes),
    }
    if len(means) == 2:
        noisy, restored = means.values()
        result["gain_percent"] = {name: 100.0 * (restored[name] / noisy[name] - 1.0) for name in noisy}
        gain = result["gain_percent"]
        lines.append(f"second over first: SNR {gain['snr']:+.1f} %, PSNR' {gain['psnr_prime']:+.1f} %")
    return {**result, "summary": lines}
