"""Reads that must not be used: a data-quality mask, and a border of reference pixels that see no light.

A masked read becomes NaN, which a fit leaves out and a calibration passes over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..images import open_image
from .reads import Reads

BORDER_KEY = "ndr.reference_border"
"""Key of a file that has a border of reference pixels: its width in pixels."""


@dataclass(frozen=True)
class Quality:
    """Which reads of which pixels are bad.

    Parameters
    ----------
    packed
        Bits of the bad pixels, ``numpy.packbits`` along X, shape (1 or N, Y, X / 8), uint8: an eighth of the memory.
    width
        X, pixels.
    """

    packed: NDArray[np.uint8]
    width: int

    def rows(self, read: int, start: int, stop: int) -> NDArray[np.bool_]:
        """Return the bad pixels of some rows of a read, shape (stop - start, X)."""
        plane = self.packed[read if len(self.packed) > 1 else 0, start:stop]
        return np.unpackbits(plane, axis=-1, count=self.width).astype(bool)

    def some(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return the pixels with a bad read among ``first:last``, shape (Y, X)."""
        part = self.packed[first:last] if len(self.packed) > 1 else self.packed
        return np.unpackbits(np.bitwise_or.reduce(part, axis=0), axis=-1, count=self.width).astype(bool)

    def uneven(self, first: int, last: int) -> bool:
        """Tell whether a pixel is bad in some reads among ``first:last`` and good in others."""
        part = self.packed[first:last] if len(self.packed) > 1 else self.packed
        return bool((part != part[0]).any())


def read_quality(path: Path | None, bits: int | None, border: int, shape: tuple[int, int, int]) -> Quality | None:
    """Read a mask and add the reference border; None where there is neither.

    Parameters
    ----------
    path
        File of one plane for all reads, or of one for each read; nonzero: bad.
    bits
        Only these bits make a read bad; None: any.
    border
        Width of the reference border, pixels; 0: none.
    shape
        Of the reads, (N, Y, X).

    Raises
    ------
    InputError, OptionError
        For a mask of another size, bits of a mask that is not of integers, a border that leaves no pixel.
    """
    if path is None and bits is not None:
        raise OptionError("quality bits (--quality-bits) choose among the bits of a mask; give it with --quality")
    if bits is not None and bits < 1:
        raise OptionError(f"quality bits must be 1 or more (the sum of the bits that make a read bad); got {bits}")
    if border < 0 or (border and 2 * border >= min(shape[1:])):
        raise OptionError(
            f"a reference border of {border} pixels does not leave any of the {shape[2]} x {shape[1]} pixels (X x Y)"
        )
    if path is None and not border:
        return None
    edge = border_pixels(shape[1:], border)
    planes = [edge] if path is None else _bad_planes(path, bits, shape)
    return Quality(np.stack([np.packbits(plane | edge, axis=-1) for plane in planes]), shape[2])


def _bad_planes(path: Path, bits: int | None, shape: tuple[int, int, int]) -> list[NDArray[np.bool_]]:
    with open_image(path) as reader:
        if tuple(reader.shape[-2:]) != shape[1:] or reader.n_planes not in (1, shape[0]):
            raise InputError(
                f"{path}: the quality mask has the shape {tuple(reader.shape)}, the reads {shape}; it must have one "
                "plane, or one for each read, of the same size"
            )
        if bits is not None and reader.dtype.kind not in "ui":
            raise OptionError(f"{path}: quality bits need a mask of whole numbers; it holds {reader.dtype}")
        return [(plane != 0) if bits is None else (plane & plane.dtype.type(bits)) != 0 for plane in reader.planes()]


def border_pixels(size: tuple[int, ...], border: int) -> NDArray[np.bool_]:
    """Return the pixels of a border, shape `size` (Y, X)."""
    inside = np.ones(size, bool)
    if border:
        inside[border:-border, border:-border] = False
        return inside
    return ~inside


def border_of(info_value: str | None, given: int | None, where: str) -> int:
    """Return the width of the border: the one that was given, else the file's, else 0.

    Raises
    ------
    InputError
        When the file's key is not a whole number of pixels.
    """
    if given is not None or info_value is None:
        return given or 0
    try:
        return int(info_value)
    except ValueError:
        raise InputError(f"{where}: {BORDER_KEY} must be a whole number of pixels; it is {info_value!r}") from None


class Masked:
    """Reads whose bad pixels are NaN; a source for `Reads`.

    Parameters
    ----------
    reads
        As stored, or corrected.
    quality
        Bad pixels.
    """

    def __init__(self, reads: Reads, quality: Quality) -> None:
        narrow = reads.dtype.itemsize <= 2 or reads.dtype == np.float32
        self._reads, self._quality = reads, quality
        self._dtype = np.dtype(np.float32 if narrow else np.float64)  # float32 holds 16-bit reads exactly

    def as_reads(self) -> Reads:
        """Return them as reads that remember the range of the stored numbers."""
        return Reads(self, self._reads.shape, self._dtype, row_source=self, stored=self._reads.stored)

    def plane(self, index: int) -> NDArray[Any]:
        """Return one read, shape (Y, X)."""
        return self.rows(index, 0, self._reads.shape[1])

    def rows(self, plane: int, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of one read."""
        values: NDArray[Any] = self._reads.rows(start, stop, plane, plane + 1)[0].astype(self._dtype)
        values[self._quality.rows(plane, start, stop)] = np.nan
        return values
