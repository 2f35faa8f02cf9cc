"""Divide one exposure into parts that share no read: pairs to train on, and a part kept apart to judge by.

Two differences that share a read have correlated noise (-s^2 for abutting ones), and a network trained on such pairs
learns the noise. So every part ends one guard read before the next one begins.

`split_halves` cuts a ramp into two halves to judge by. `split_exposure` makes what it takes to train and judge from one
exposure: it is cut into seven guarded differences of k reads. The first three and the next three are the two sides: a
difference of one side is an input, the optimal fit of the WHOLE other side is its target, which is far less noisy and
shares no read with it. The seventh is kept apart: no training sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError, OptionError
from .reads import check_range
from .subtract import Window, difference_windows

PER_SIDE = 3
"""Differences of each side."""

LONGEST = 20
"""Largest difference [sub-frames]; exposures that would allow a larger one are cut into the first seven of this."""


@dataclass(frozen=True)
class Split:
    """Parts of one exposure that share no read; reads count from 0.

    Parameters
    ----------
    difference
        Sub-frames of each difference.
    inputs
        Windows ``(a, b)`` of the six training inputs, read[b] - read[a].
    targets
        For each input the range ``[first, last)`` of reads whose fit is its target.
    held_out
        Window of the difference that no training sees.
    """

    difference: int
    inputs: tuple[Window, ...]
    targets: tuple[tuple[int, int], ...]
    held_out: Window


def split_exposure(n_reads: int, first: int = 0) -> Split:
    """Divide reads ``first ... n_reads - 1`` into two sides to train on and one part to judge by.

    Parameters
    ----------
    n_reads
        Reads of the exposure.
    first
        First usable read, from 0.

    Raises
    ------
    InputError
        When there are too few reads for seven guarded differences.
    """
    parts = 2 * PER_SIDE + 1
    difference = min(LONGEST, (n_reads - first) // parts - 1)
    if difference < 1:
        raise InputError(
            f"{n_reads - first} usable reads are too few to train and judge from one exposure; "
            f"it takes at least {2 * parts} (seven differences with a guard read between them)"
        )
    windows = difference_windows(n_reads, difference, first, "guarded")[:parts]
    sides = windows[:PER_SIDE], windows[PER_SIDE : 2 * PER_SIDE]
    ranges = [(side[0][0], side[-1][1] + 1) for side in sides]
    targets = [ranges[1]] * PER_SIDE + [ranges[0]] * PER_SIDE
    return Split(difference, tuple(sides[0] + sides[1]), tuple(targets), windows[2 * PER_SIDE])


@dataclass(frozen=True)
class Halves:
    """Two ranges of reads ``[first, last)``, equally long, that share none; reads count from 0."""

    a: tuple[int, int]
    b: tuple[int, int]


def split_halves(n_reads: int, first: int = 0, last: int | None = None, *, guard: int = 1) -> Halves:
    """Cut reads ``first ... last - 1`` into two equal halves with `guard` sub-frames left out between them.

    Parameters
    ----------
    n_reads
        Reads of the exposure.
    first, last
        Reads used, ``[first, last)``, from 0.
    guard
        Sub-frames left out between the last read of one half and the first of the other; 0: they share that read.

    Raises
    ------
    InputError, OptionError
        When a half would have fewer than two reads, or the guard is negative.

    Examples
    --------
    >>> split_halves(100)
    Halves(a=(0, 50), b=(50, 100))
    """
    first, last = check_range(n_reads, first, last)
    check_guard(guard)
    size = (last - first - guard + 1) // 2
    if size < 2:
        raise InputError(
            f"{last - first} reads do not give two halves of 2 reads or more with a guard of {guard} "
            f"sub-frame{'' if guard == 1 else 's'} between them; it takes at least {guard + 3}"
        )
    return Halves((first, first + size), (last - size, last))


def check_guard(guard: int) -> None:
    """Refuse a negative guard."""
    if guard < 0:
        raise OptionError(f"guard is the number of sub-frames left out, 0 or more (1 is usual); got {guard}")
