"""Rows of an uncompressed exposure straight from the file, without reading whole planes.

A fit needs some rows of all reads at a time. In a TIFF whose planes lie one after the other uncompressed (what ImageJ
and this package write) they are found by arithmetic; reading them so spares one pass over the whole file per block of
rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import ImageReader


class RawPlanes:
    """An open file whose planes are contiguous.

    Parameters
    ----------
    path
        The file.
    offset
        Where the first plane begins [bytes].
    shape
        ``(Y, X)`` of a plane.
    dtype
        Type with byte order, as stored.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, int], dtype: Any) -> None:
        self._file = path.open("rb", buffering=0)
        self._offset, self._shape, self._dtype = offset, shape, np.dtype(dtype)

    def rows(self, plane: int, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of one plane, shape (stop - start, X), in the machine's byte order."""
        height, width = self._shape
        row = width * self._dtype.itemsize
        self._file.seek(self._offset + (plane * height + start) * row)
        data = self._file.read((stop - start) * row)
        stored = np.frombuffer(data, self._dtype).reshape(stop - start, width)
        return stored.astype(self._dtype.newbyteorder("="), copy=False)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Regions:
    """Rows of the planes of a file that is stored in parts (OME-Zarr, tiled TIFF): no more is decoded than is needed.

    Parameters
    ----------
    reader
        The opened file.
    """

    def __init__(self, reader: ImageReader) -> None:
        self._reader = reader

    def rows(self, plane: int, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of one plane, shape (stop - start, X)."""
        return self._reader.region(plane, slice(start, stop), slice(None))


def raw_planes(reader: ImageReader) -> RawPlanes | None:
    """Open the planes of a TIFF directly where that is possible; None where it is not.

    The first and the last plane are compared with what the reader makes of them, so that a file that is laid out in
    another way is never misread.
    """
    import tifffile

    try:
        with tifffile.TiffFile(reader.path) as tiff:
            series = tiff.series[0]
            offset, dtype = series.dataoffset, series.dtype
            if offset is None or dtype is None:
                return None
            dtype = np.dtype(dtype).newbyteorder(tiff.byteorder)
        height, width = reader.shape[-2:]
        needed = offset + reader.n_planes * height * width * dtype.itemsize
        if reader.path.stat().st_size < needed:
            return None
        raw = RawPlanes(reader.path, offset, (height, width), dtype)
        same = [
            np.array_equal(
                raw.rows(plane, 0, height).view(np.uint8), np.ascontiguousarray(reader.plane(plane)).view(np.uint8)
            )
            for plane in (0, reader.n_planes - 1)
        ]
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, TypeError):
        return None
    if all(same):
        return raw
    raw.close()
    return None
