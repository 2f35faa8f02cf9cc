"""Report SNR and PSNR' of every frame of a stack, in two regions that are given or found."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..images import ImageReader, open_image, require_gray
from ..metrics import single
from ..outputs import check_output
from ..rois import masks_from

FIGURES = ("snr", "snr_background_subtracted", "psnr_prime", "psnr_prime_background_subtracted")
COLUMNS = ("file", "role", "difference", "frame", "label", *FIGURES, "bright_mean", "dark_mean", "dark_std")
ROLES = ("noisy", "restored")


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


@dataclass(frozen=True)
class Measured:
    """One file to measure.

    Parameters
    ----------
    path
        The file.
    role
        ``noisy`` or ``restored``.
    difference
        Sub-frames of its difference images (key ``ndr.difference``); None when unknown.
    """

    path: Path
    role: str
    difference: int | None


def list_files(noisy: Sequence[Path], restored: Sequence[Path]) -> list[Measured]:
    """Open every file once for the difference it holds; a restored one that does not say takes its noisy partner's.

    Raises
    ------
    InputError, OptionError
        When there is no file, one cannot be read, or a restored file has no partner.
    """
    if not noisy:
        raise InputError("give at least one file to measure")
    files = [Measured(path, "noisy", _difference_of(path)) for path in noisy]
    for position, path in enumerate(restored):
        difference = _difference_of(path)
        if difference is None and len(restored) == len(noisy):
            difference = files[position].difference
        known = [file.difference for file in files[: len(noisy)]]
        if len(restored) != len(noisy) and (difference is None or difference not in known):
            raise OptionError(
                f"{len(noisy)} noisy and {len(restored)} restored files, and {path} belongs to none of the noisy ones "
                f"(ndr.difference: {difference or 'none'}, theirs: {', '.join(map(str, known))}); give one restored "
                "file for each noisy one, in their order"
            )
        files.append(Measured(path, "restored", difference))
    return files


def _difference_of(path: Path) -> int | None:
    with open_gray(path) as reader:
        text = reader.info.get("ndr.difference")
    if text is None:
        return None
    try:
        return int(float(text))
    except ValueError:
        raise InputError(f"{path}: ndr.difference is not a number: {text!r}") from None


def region_source(files: Sequence[Measured]) -> Measured:
    """Return the file in which regions are looked for: the noisy one of the longest difference, else the first."""
    noisy = [file for file in files if file.role == "noisy"]
    return max(noisy, key=lambda file: file.difference or 0)


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
        notes.append(
            f"{name} region found: x,y,w,h = {block} of the mean over all frames of {reader.path}; --{name} sets it"
        )
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


def measure_frames(reader: ImageReader, regions: Regions, file: Measured | None = None) -> list[dict[str, Any]]:
    """Measure every frame; see `quietframe.metrics.single` for the definitions.

    Returns
    -------
    list of dict
        One per frame, keys as `COLUMNS`; frames count from 1.

    Raises
    ------
    InputError
        When the image has another size than the regions, or a frame cannot be measured; the message names it.
    """
    if tuple(reader.shape[-2:]) != regions.bright.shape:
        raise InputError(
            f"{reader.path} is {reader.shape[-2]} x {reader.shape[-1]}, but the regions belong to an image of "
            f"{regions.bright.shape[0]} x {regions.bright.shape[1]} pixels (Y x X); measure it alone"
        )
    known = {
        "file": str(reader.path),
        "role": file.role if file else "noisy",
        "difference": file.difference if file else None,
    }
    rows = []
    for number, plane in enumerate(reader.planes(), 1):
        label = reader.labels[number - 1] if reader.labels else ""
        try:
            values = _figures(plane, regions)
        except InputError as error:
            raise InputError(f"{reader.path}, frame {number}: {error}") from None
        rows.append({**known, "frame": number, "label": label, **values})
    return rows


def _figures(plane: NDArray[Any], regions: Regions) -> dict[str, float]:
    bright = single.region_statistics(plane, regions.bright, name="bright region")
    dark = single.region_statistics(plane, regions.dark, name="dark region")
    peak = single.psnr_prime(plane, regions.dark)
    return {
        "snr": single.report_snr(plane, regions.bright, regions.dark),
        "snr_background_subtracted": single.report_snr(plane, regions.bright, regions.dark, subtract_background=True),
        "psnr_prime": peak,
        "psnr_prime_background_subtracted": peak - dark.mean / dark.std,
        "bright_mean": bright.mean,
        "dark_mean": dark.mean,
        "dark_std": dark.std,
    }


def means_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the means over frames of the figures."""
    return {name: float(np.mean([row[name] for row in rows])) for name in FIGURES}


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one line per frame, comma-separated, with a heading."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        table.writerows(rows)


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
