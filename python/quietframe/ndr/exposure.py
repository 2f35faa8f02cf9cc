"""Open an exposure: the reads of one ramp, lazily, with what is known of the camera that made them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import axes as letters
from ..camera import PREFIX, Camera
from ..errors import InputError
from ..images import ImageReader, open_image, require_gray
from .modulo import reads_per_exposure
from .raw_planes import Regions, raw_planes
from .reads import Reads

SETTLING_INTERVALS = 8
"""Intervals after the first that it is compared with."""


@dataclass(frozen=True)
class Exposure:
    """One exposure, open; a context manager.

    Parameters
    ----------
    path
        Its file.
    reads
        The reads, shape (N, Y, X), read when asked for.
    camera
        What is known: the file's keys, then the caller's values, which win.
    first_valid
        First read to use, from 0.
    notes
        Sentences for the user: what was taken for granted, what looks wrong.
    pixel_size_um, frame_interval_s, info, labels
        As the file has them.
    exposure
        Name of the exposure (key ``ndr.exposure``), or the file's name.
    times_s
        Time of each read [s] where they are not equally spaced (key ``ndr.t_reads_s``), else None.
    """

    path: Path
    reads: Reads
    camera: Camera
    first_valid: int
    notes: tuple[str, ...]
    pixel_size_um: Mapping[str, float]
    frame_interval_s: float | None
    info: Mapping[str, str]
    labels: tuple[str, ...]
    exposure: str
    times_s: tuple[float, ...] | None = None
    _open: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    @property
    def interval_s(self) -> float | None:
        """Time from one read to the next [s]; None when unknown."""
        return self.camera.t_subframe_s

    def __enter__(self) -> Exposure:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def close(self) -> None:
        """Close the file."""
        self._open.close()


def open_exposure(
    path: str | os.PathLike[str], *, camera: Camera | None = None, axes: str | None = None, number: int = 0
) -> Exposure:
    """Open a ramp: an ImageJ hyperstack, OME-TIFF, plain TIFF or NPY whose T axis counts the reads.

    Parameters
    ----------
    path
        The file.
    camera
        Values that win over those of the file.
    axes
        Letters to use instead of the file's, e.g. ``TYX`` for a ramp that was saved as a z-stack.
    number
        Which exposure, from 0, where the file holds several (key ``ndr.n_subframes`` or OME's ModuloAlongT, and a
        multiple of it in T).

    Raises
    ------
    InputError
        When the file is no image, has one read only, is a z-stack, has several channels, or is a result already.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(open_image(path, axes=axes))
        require_gray(reader, path)
        _refuse_other_stacks(reader)
        known = Camera.from_mapping(reader.info, source=str(path), prefix=PREFIX)
        if known.t_subframe_s is None and reader.frame_interval_s:
            known = known.updated(Camera(t_subframe_s=reader.frame_interval_s))
        n_reads, first_plane, notes = _choose_exposure(reader, number)
        shape = (n_reads, *reader.shape[-2:])
        raw = raw_planes(reader)
        if raw is not None:
            stack.callback(raw.close)
        reads = Reads(reader, shape, reader.dtype, first_plane=first_plane, row_source=raw or Regions(reader))
        first_valid = _first_valid(reader.info, n_reads, path)
        notes = [*reader.remarks, *notes, *_missing_values(reads), *_unsettled(reads, first_valid)]
        return Exposure(
            path=Path(path),
            reads=reads,
            camera=known.updated(camera) if camera is not None else known,
            first_valid=first_valid,
            notes=tuple(notes),
            pixel_size_um=dict(reader.pixel_size_um),
            frame_interval_s=reader.frame_interval_s,
            info=dict(reader.info),
            labels=tuple(reader.labels[first_plane : first_plane + n_reads]),
            exposure=reader.info.get("ndr.exposure", Path(path).name.split(".")[0]),
            times_s=_times(reader.info, n_reads, path),
            _open=stack.pop_all(),
        )


def _refuse_other_stacks(reader: ImageReader) -> None:
    """Refuse what is not a ramp of reads, saying what it is."""
    sizes = {letter: letters.length(reader.shape, reader.axes, letter) for letter in "STCZ"}
    longer = [letter for letter, size in sizes.items() if size > 1]
    where = f"{reader.path} (axes {reader.axes}, shape {tuple(reader.shape)})"
    if not longer:
        raise InputError(f"{where} is one read; an exposure has 2 reads or more along T")
    if longer == ["Z"]:
        raise InputError(
            f"{where} is a z-stack: {sizes['Z']} planes along Z, not reads along T. If its planes are the reads of an "
            f"exposure, add --axes {reader.axes.replace('T', '').replace('Z', 'T')}"
        )
    if longer != ["T"]:
        others = ", ".join(f"{letter} has {sizes[letter]}" for letter in longer if letter != "T")
        raise InputError(
            f"{where}: an exposure has reads along T and nothing else, but {others}; save one of them alone"
        )
    made = {key: reader.info[key] for key in ("ndr.difference", "ndr.fit") if key in reader.info}
    if made:
        key, value = next(iter(made.items()))
        raise InputError(f"{reader.path} is a result already ({key} = {value}), not the reads of an exposure")


def _choose_exposure(reader: ImageReader, number: int) -> tuple[int, int, list[str]]:
    """Return (reads, first plane, notes) of one exposure out of those in the file."""
    planes = reader.n_planes
    usual = reads_per_exposure(reader.path) if str(reader.path).lower().endswith((".tif", ".tiff")) else None
    try:
        stated = int(float(reader.info.get("ndr.n_subframes", usual or planes)))
    except ValueError:
        raise InputError(
            f"{reader.path}: ndr.n_subframes is not a number: {reader.info['ndr.n_subframes']!r}"
        ) from None
    if stated == planes or stated < 2 or planes % stated:
        if number:
            raise InputError(f"{reader.path} holds one exposure; there is no exposure {number + 1}")
        odd = stated != planes
        note = f"the file says ndr.n_subframes = {stated} but holds {planes} reads: all of them are used"
        return planes, 0, [note] if odd else []
    count = planes // stated
    if not 0 <= number < count:
        raise InputError(f"{reader.path} holds {count} exposures; there is no exposure {number + 1}")
    return (
        stated,
        number * stated,
        [f"the file holds {count} exposures of {stated} reads: exposure {number + 1} is used"],
    )


def _times(info: Mapping[str, str], n_reads: int, path: str | os.PathLike[str]) -> tuple[float, ...] | None:
    """Return the times of the reads where the file lists them and they are not equally spaced."""
    text = info.get("ndr.t_reads_s", "").strip().strip("[]")
    if not text:
        return None
    try:
        times = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"{path}: ndr.t_reads_s must be a list of numbers (seconds); it is {text[:60]!r}") from None
    if len(times) != n_reads:
        raise InputError(f"{path}: ndr.t_reads_s lists {len(times)} times for {n_reads} reads; one for each is needed")
    gaps = np.diff(times)
    return None if np.allclose(gaps, gaps[0], rtol=1e-6, atol=0.0) and gaps[0] > 0 else tuple(times)


def _first_valid(info: Mapping[str, str], n_reads: int, path: str | os.PathLike[str]) -> int:
    text = info.get("ndr.first_valid", "1")
    try:
        first = int(float(text))
    except ValueError:
        raise InputError(f"{path}: ndr.first_valid is not a number: {text!r}") from None
    if not 1 <= first <= n_reads - 1:
        raise InputError(f"{path}: ndr.first_valid = {first} leaves fewer than two of {n_reads} reads")
    return first - 1


def _missing_values(reads: Reads) -> list[str]:
    """Name the reads of a float ramp that hold NaN or Inf (integers cannot)."""
    if reads.dtype.kind != "f":
        return []
    counts = {number: int(np.count_nonzero(~np.isfinite(plane))) for number, plane in enumerate(reads.planes(), 1)}
    spoilt = {number: count for number, count in counts.items() if count}
    if not spoilt:
        return []
    shown = ", ".join(f"read {number}: {count}" for number, count in list(spoilt.items())[:5])
    more = f" and {len(spoilt) - 5} more reads" if len(spoilt) > 5 else ""
    return [f"NaN or infinite pixels in {len(spoilt)} of {len(reads)} reads ({shown}{more})"]


def _unsettled(reads: Reads, first: int) -> list[str]:
    """Name a first interval that does not fit the ones after it: the reset had not settled."""
    stop = min(len(reads), first + SETTLING_INTERVALS + 2)
    if stop - first < 5:
        return []
    step = max(1, int(np.sqrt(reads.shape[1] * reads.shape[2] / 2**16)))
    planes = [plane[::step, ::step].astype(np.float64) for plane in reads.planes(first, stop)]
    means = []
    errors = []
    for early, late in pairwise(planes):
        mean, error = _trimmed_mean(late - early)
        means.append(mean)
        errors.append(error)
    rest = np.array(means[1:])
    usual = float(np.median(rest))
    # Bleaching and drift change all intervals; only a first one far outside the scatter of the others stands out.
    allowed = 3.0 * float(np.abs(rest - usual).max()) + 6.0 * errors[0]
    if not abs(means[0] - usual) > max(allowed, 1e-9):
        return []
    return [
        f"the first interval does not fit the rest: reads {first + 1} to {first + 2} differ by {means[0]:.4g} ADU on "
        f"average, the {len(rest)} intervals after them by {usual:.4g}; the reset may not have settled. "
        f"It is used; --first {first + 2} leaves it out"
    ]


def _trimmed_mean(values: NDArray[Any]) -> tuple[float, float]:
    """Return the mean of the middle 98 % and its standard error."""
    finite = np.sort(values[np.isfinite(values)], axis=None)
    cut = len(finite) // 100
    middle = finite[cut : len(finite) - cut]
    if not len(middle):
        return 0.0, 0.0
    return float(middle.mean()), float(middle.std() / np.sqrt(len(middle)))
