"""Difference images out of one exposure: read[i + k] - read[i], signed, never clipped.

The spacing says where the next window starts. With ``guarded`` (k + 1 later) no two images share a read, so their noise
is independent: they are Noise2Noise pairs. ``abutting`` images (k later) share one read and its noise, with opposite
sign: correlation ``-s^2 / (f k + 2 s^2)``, up to -0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import OptionError, unknown
from ..progress import Progress, silent
from .reads import BLOCK_BYTES, Reads, as_reads

SPACINGS = ("guarded", "abutting", "rolling", "single")
UNITS = ("adu", "electrons", "rate")

Window = tuple[int, int]


def difference_windows(n_reads: int, difference: int, first: int = 0, spacing: str = "guarded") -> list[Window]:
    """List the pairs of reads that make difference-k images.

    Parameters
    ----------
    n_reads
        Reads in the exposure.
    difference
        k, sub-frames between the two reads, 1 <= k <= n_reads - 1 - first.
    first
        First read used, from 0.
    spacing
        ``guarded``: windows k + 1 apart; ``abutting``: k apart; ``rolling``: 1 apart; ``single``: one window.

    Returns
    -------
    list of (int, int)
        ``(a, b)``, from 0, image = read[b] - read[a].

    Raises
    ------
    OptionError
        For an unknown spacing, or when not even one window fits. Its message counts reads from 1.

    Examples
    --------
    >>> difference_windows(9, 3)
    [(0, 3), (4, 7)]
    """
    if spacing not in SPACINGS:
        raise unknown("spacing", spacing, SPACINGS)
    if n_reads < 2:
        raise OptionError(f"this exposure has {n_reads} read; a difference needs at least 2")
    if difference < 1:
        raise OptionError(f"difference must be 1 or more sub-frames; got {difference}")
    if not 0 <= first < n_reads:
        raise OptionError(f"first read {first + 1} is not one of the reads 1 to {n_reads}")
    if first + difference >= n_reads:
        raise OptionError(
            f"difference {difference} from read {first + 1} needs read {first + 1 + difference}, but there are "
            f"{n_reads} reads; the largest difference possible here is {n_reads - 1 - first}"
        )
    step = {"guarded": difference + 1, "abutting": difference, "rolling": 1, "single": n_reads}[spacing]
    return [(start, start + difference) for start in range(first, n_reads - difference, step)]


def unit_scale(unit: str, difference: int, camera: Camera) -> tuple[float, str]:
    """Return the factor from ADU to `unit`, and the name of the result's unit.

    Parameters
    ----------
    unit
        ``adu``; ``electrons``; or ``rate``, which is e-/px/s, and needs the time per sub-frame.
    difference
        k, sub-frames in one image.
    camera
        Its gain is needed for electrons and rate, its time per sub-frame for rate.

    Raises
    ------
    OptionError
        When the unit is unknown, or the camera lacks what it needs.
    """
    if unit not in UNITS:
        raise unknown("unit", unit, UNITS)
    if unit == "adu":
        return 1.0, "adu"
    if camera.gain_e_per_adu is None:
        raise OptionError(f"unit {unit} needs the gain; give --gain-e-per-adu, or take --unit adu")
    if unit == "electrons":
        return camera.gain_e_per_adu, "e-/px"
    if camera.t_subframe_s is None:
        raise OptionError(
            "unit rate is e-/px/s and needs the time per sub-frame, which is unknown here; give --t-subframe-s, "
            "or take --unit electrons"
        )
    return camera.gain_e_per_adu / (difference * camera.t_subframe_s), "e-/px/s"


def differences(
    reads: Reads | NDArray[Any], windows: Sequence[Window], *, scale: float = 1.0, progress: Progress = silent
) -> Iterator[NDArray[np.float32]]:
    """Make the difference images of `windows`, going once through the reads.

    Only reads that a later window still needs are held (one for all spacings but rolling), and never more than
    `BLOCK_BYTES` of them: what does not fit is read a second time.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    windows
        Pairs ``(a, b)`` from `difference_windows`, ordered by b.
    scale
        Factor on the result, see `unit_scale`.
    progress
        Told after each image.

    Yields
    ------
    ndarray of shape (Y, X), float32
        ``(read[b] - read[a]) * scale``; NaN where one of the two reads is not finite.
    """
    stack = as_reads(reads)
    starts = {a for a, _ in windows}
    opened: dict[int, NDArray[Any]] = {}
    done = 0
    first, last = min(starts), windows[-1][1]
    for index in range(first, last + 1):
        ends_here = done < len(windows) and windows[done][1] == index
        if not ends_here and index not in starts:
            continue  # guard reads and the inside of windows are not even read
        plane = stack.plane(index)
        if ends_here:
            start = windows[done][0]
            yield _difference(opened.pop(start) if start in opened else stack.plane(start), plane, scale)
            done += 1
            progress("subtracting", done, len(windows))
        if index in starts and len(opened) * plane.nbytes < BLOCK_BYTES:
            opened[index] = np.array(plane)


def _difference(early: NDArray[Any], late: NDArray[Any], scale: float) -> NDArray[np.float32]:
    # Integers of 32 and 64 bits and doubles hold more digits than float32: subtract before rounding, not after.
    exact = np.float32 if early.dtype.itemsize <= 2 or early.dtype == np.float32 else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        result = (np.subtract(late, early, dtype=exact) * exact(scale)).astype(np.float32)
    if early.dtype.kind == "f":
        result[~np.isfinite(result)] = np.nan
    return np.asarray(result)
