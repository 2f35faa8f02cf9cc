"""Axes are a string over ``STCZYX``: sample, time, channel, z, y, x. This is the only place where letters are compared.

Y always comes before X. An array and its axes string travel together; nothing guesses an axis silently.

>>> normalize("tyx", (5, 32, 32))
'TYX'
>>> planes_of((5, 32, 32), "TYX")
5
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

ORDER = "STCZYX"
"""The letters and their stored order."""

SPATIAL = "ZYX"
"""The letters that have a pixel size."""


def normalize(axes: str, shape: Sequence[int]) -> str:
    """Check an axes string against a shape and return it in capitals.

    Parameters
    ----------
    axes
        One letter of ``STCZYX`` per axis of the array, in the array's order.
    shape
        Shape of the array.

    Raises
    ------
    InputError
        When a letter is unknown or doubled, Y and X are missing or swapped, or the number of letters is not the
        number of axes.
    """
    given = axes.upper()
    wrong = [letter for letter in given if letter not in ORDER]
    if wrong:
        raise InputError(f"axes {axes!r}: {wrong[0]!r} is not one of {ORDER} (sample, time, channel, z, y, x)")
    if len(set(given)) != len(given):
        raise InputError(f"axes {axes!r} name an axis twice")
    if len(given) != len(shape):
        raise InputError(
            f"axes {axes!r} have {len(given)} letters, but the image has {len(shape)} axes, shape {tuple(shape)}"
        )
    if "Y" not in given or "X" not in given or given.index("Y") > given.index("X"):
        raise InputError(f"axes {axes!r} need Y before X; got shape {tuple(shape)}")
    return given


def default_axes(ndim: int) -> str:
    """Return the axes of an array that comes with none: YX, TYX, TZYX, TCZYX or STCZYX.

    Raises
    ------
    InputError
        When `ndim` is below 2 or above 6.
    """
    if not 2 <= ndim <= len(ORDER):
        raise InputError(f"an image has 2 to {len(ORDER)} axes; this array has {ndim}")
    return {2: "YX", 3: "TYX", 4: "TZYX", 5: "TCZYX", 6: ORDER}[ndim]


def to_axes(array: NDArray[Any], axes: str, wanted: str) -> NDArray[Any]:
    """Transpose an array to other axes; wanted axes that are missing get length 1.

    Parameters
    ----------
    array
        Image with axes `axes`.
    axes, wanted
        Strings over ``STCZYX``.

    Returns
    -------
    ndarray
        A view where possible, axes `wanted`.

    Raises
    ------
    InputError
        When an axis longer than 1 is not among the wanted ones.
    """
    axes = normalize(axes, array.shape)
    for position in range(len(axes) - 1, -1, -1):
        letter = axes[position]
        if letter in wanted:
            continue
        if array.shape[position] != 1:
            raise InputError(
                f"axis {letter} has {array.shape[position]} entries, but only {wanted} is possible here "
                f"(axes {axes}, shape {array.shape}); select one along {letter} first"
            )
        array = np.take(array, 0, axis=position)
        axes = axes[:position] + axes[position + 1 :]
    array = array.transpose([axes.index(letter) for letter in wanted if letter in axes])
    for position, letter in enumerate(wanted):
        if letter not in axes:
            array = np.expand_dims(array, position)
    return array


def planes_of(shape: Sequence[int], axes: str) -> int:
    """Return how many YX planes an image has."""
    return int(np.prod([size for size, letter in zip(shape, axes, strict=True) if letter not in "YX"], dtype=np.int64))


def pages_of(shape: Sequence[int], axes: str) -> int:
    """Return how many planes an image has when the samples of a colour picture count as one: what labels belong to."""
    return int(np.prod([size for size, letter in zip(shape, axes, strict=True) if letter not in "SYX"], dtype=np.int64))


def length(shape: Sequence[int], axes: str, letter: str) -> int:
    """Return the length of axis `letter`, 1 where the image does not have it."""
    return int(shape[axes.index(letter)]) if letter in axes else 1
