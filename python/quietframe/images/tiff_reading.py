"""Read TIFF planes one at a time, and never believe what a file says before it has been checked.

The formats are tifffile's work (ImageJ, OME, LSM, STK and others). What is added here: axes are always ours, planes
come one by one, and a damaged or hostile file ends in one clear error: sizes are compared with the length of the file
before anything of that size is made, and no missing strip is silently filled with zeros.
"""

from __future__ import annotations

import io
import logging
import math
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..axes import ORDER, SPATIAL, default_axes, pages_of
from ..errors import InputError, QuietframeError
from .tiff_metadata import (
    Description,
    check_ome_sizes,
    imagej_description,
    is_signed_16,
    ome_description,
    plain_description,
)

_PAGE_ALWAYS_ALLOWED = 256 << 20
"""Bytes of one decoded page that are made whatever the size of the file."""

_LARGEST_EXPANSION = 20_000
"""Decoded bytes per stored byte that are believed beyond that: deflate reaches 1032, zstd of a constant 15 000."""

_SIGNED_16_OFFSET = np.uint16(0x8000)


@dataclass(frozen=True)
class OpenImage:
    """An image file that is open: what it is, and how to get plane number i.

    Parameters
    ----------
    shape, axes
        Shape and letters over ``STCZYX``; the last two are always Y and X.
    dtype
        Type of the planes, in the machine's byte order.
    description
        Calibration, Info, labels.
    load
        Returns plane i (YX), counted in stored order from 0.
    close
        Closes the file.
    region
        Returns rows and columns of plane i without reading the rest of it; None where the format cannot.
    block
        Height and width of what `region` reads at least; 1 row where any rows can be read.
    """

    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    description: Description
    load: Callable[[int], NDArray[Any]]
    close: Callable[[], None]
    region: Callable[[int, slice, slice], NDArray[Any]] | None = None
    block: tuple[int, int] | None = None


class _Collector(logging.Handler):
    """Keep what tifffile complains about instead of printing it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def guarded(path: Path) -> Iterator[list[str]]:
    """Turn whatever goes wrong inside a TIFF into an `InputError`, and collect tifffile's complaints.

    tifffile raises what the bytes lead to (TypeError, ZeroDivisionError, struct.error, ...), and codecs their own
    errors: all of them mean the same to the user.

    Raises
    ------
    InputError
        In place of any other exception.
    """
    collector = _Collector()
    logger = logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(collector)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield collector.messages
    except QuietframeError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: {error.strerror}") from error
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(f"{path} is damaged or not a TIFF that can be read ({reason}); copy or export it again") from (
            error
        )
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate


def open_tiff(path: Path) -> OpenImage:
    """Open a TIFF of any kind that tifffile knows: ImageJ, OME (with companion file), LSM, BigTIFF, zipped.

    Raises
    ------
    InputError
        When the file is damaged, incomplete, or of a kind that has no planes.
    """
    with guarded(path) as complaints:
        tif = _open(path)
        try:
            return _describe(tif, path, complaints)
        except BaseException:
            tif.close()
            raise


def _open(path: Path) -> tifffile.TiffFile:
    """Open the file, or the TIFF it stands for: the one in a zip, the first one of an OME companion file."""
    head = path.open("rb").read(4)
    if head[:2] == b"PK":
        return tifffile.TiffFile(io.BytesIO(_unzip(path)), name=path.name)
    if path.name.lower().endswith(".companion.ome"):
        return _open_companion(path)
    tif = tifffile.TiffFile(path)
    try:
        if not len(tif.pages):
            raise InputError(f"{path} holds no picture")
        binary_only = _binary_only(tif)
        companion = path.parent / binary_only if binary_only else None
        if companion is not None and companion.is_file():
            tif.close()
            return _open_companion(companion)
    except BaseException:
        tif.close()
        raise
    return tif


def _unzip(path: Path) -> bytes:
    """Return the one TIFF in a zip file (ImageJ: File > Save As > ZIP)."""
    with zipfile.ZipFile(path) as archive:
        members = [entry for entry in archive.infolist() if entry.filename.lower().endswith((".tif", ".tiff"))]
        if len(members) != 1:
            raise InputError(
                f"{path} is a zip file with {len(members)} TIFF files in it; unpack it and give one image "
                "(model packages and ROI sets have options of their own)"
            )
        allowed = max(_PAGE_ALWAYS_ALLOWED, members[0].compress_size * _LARGEST_EXPANSION)
        if members[0].file_size > allowed:
            raise InputError(f"{path}: the zip says it unpacks to {members[0].file_size} bytes; unpack it yourself")
        return archive.read(members[0])


def _binary_only(tif: tifffile.TiffFile) -> str | None:
    """Return the name of the companion file that holds this TIFF's OME metadata."""
    if not tif.is_ome or tif.ome_metadata is None:
        return None
    for element in ElementTree.fromstring(tif.ome_metadata):
        if element.tag.endswith("BinaryOnly"):
            return Path(element.get("MetadataFile", "")).name or None
    return None


def _open_companion(path: Path) -> tifffile.TiffFile:
    xml = path.read_text(encoding="utf-8").strip()
    names = [element.get("FileName") for element in ElementTree.fromstring(xml).iter() if element.tag.endswith("UUID")]
    first = next((Path(name).name for name in names if name), None)
    if first is None:
        raise InputError(f"{path} names no TIFF file; an OME companion file does")
    if not (path.parent / first).is_file():
        raise InputError(f"{path} needs {first} beside it; put all parts of the image into one folder")
    return tifffile.TiffFile(path.parent / first, omexml=xml)


def _describe(tif: tifffile.TiffFile, path: Path, complaints: list[str]) -> OpenImage:
    """Check the first series of the file and make it an `OpenImage`."""
    if tif.is_ome and tif.ome_metadata is not None:
        check_ome_sizes(tif.ome_metadata)
    series = tif.series[0]
    _check_complete(series, path, tif.filehandle.size, complaints)
    description = Description()
    shape, axes, remarks = _our_axes(series.shape, series.axes, series.kind)
    planes = _Planes(tif, path, shape, axes)
    shape, axes = planes.shape, planes.axes
    pages = pages_of(shape, axes)
    if series.kind == "ome":
        description = ome_description(tif.ome_metadata or "")
    elif tif.is_imagej:
        description = imagej_description(tif, pages)
    else:
        description = plain_description(tif)
    if len(description.labels) not in {0, pages}:
        description = replace(description, labels=())
    keep = {axis: size for axis, size in description.pixel_size_um.items() if axis in SPATIAL}
    remarks += _more_remarks(tif, complaints)
    description = replace(description, pixel_size_um=keep, remarks=(*description.remarks, *remarks))
    opened = OpenImage(shape, axes, planes.dtype, description, planes.load, tif.close)
    return replace(opened, region=planes.region, block=(1, shape[-1])) if planes.has_regions else opened


def _check_complete(series: tifffile.TiffPageSeries, path: Path, length: int, complaints: list[str]) -> None:
    """Refuse a file whose chain of pages breaks off: what is left would look like a shorter stack."""
    if series.kind == "imagej" and series.dataoffset is not None:
        return  # ImageJ's own stacks say in their first page where all planes are
    for complaint in complaints:
        offset = re.search(r"invalid page offset (\d+)", complaint)
        if (offset and int(offset[1]) >= length) or "corrupted tag list of page" in complaint:
            raise InputError(f"{path} is cut off or damaged: its list of pages breaks off; copy it again")


def _more_remarks(tif: tifffile.TiffFile, complaints: list[str]) -> tuple[str, ...]:
    """Say what of the file is not in the planes."""
    remarks = []
    if len(tif.series) > 1:
        remarks.append(f"the file holds {len(tif.series)} images; the first is read")
    page = tif.pages.first
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        remarks.append("the colour table is left out; values are the stored ones")
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        remarks.append("the file shows 0 as white; values are the stored ones")
    if _binary_only(tif) and tif._omexml is None:
        remarks.append("the OME companion file is missing; this is one part of a larger image")
    if complaints:
        remarks.append(f"the file has faults: {' '.join(complaints[0].split())[:120]}")
    return tuple(remarks)


def _our_axes(shape: tuple[int, ...], axes: str, kind: str) -> tuple[tuple[int, ...], str, tuple[str, ...]]:
    """Name the axes that the file does not name: time, unless ImageJ would show them as slices."""
    if not shape or math.prod(shape) == 0:
        raise InputError(f"the image is empty: shape {tuple(shape)}, axes {axes or 'none'}")
    named_or_long = [position for position, letter in enumerate(axes) if letter in ORDER or shape[position] > 1]
    shape, axes = tuple(shape[position] for position in named_or_long), "".join(axes[p] for p in named_or_long)
    unnamed = [position for position, letter in enumerate(axes) if letter not in ORDER]
    if not unnamed:
        return tuple(shape), axes, ()
    likely = default_axes(min(2 + len(unnamed), len(ORDER)))[:-2]
    free = [letter for letter in ("Z" if kind == "imagej" else "") + likely + "TCZS" if letter not in axes]
    named, remarks = list(axes), []
    for position in unnamed:
        if not free:
            raise InputError(f"axes {axes!r}, shape {tuple(shape)}: too many axes without a name; export it again")
        letter = named[position] = free[0]
        free = [other for other in free if other != letter]
        remarks.append(
            f"the file does not name its axis of {shape[position]}: taken as {letter}; --axes says otherwise"
        )
    return tuple(shape), "".join(named), tuple(remarks)


class _Planes:
    """Give planes of a series in stored order; what the file stores as one piece is decoded once.

    Parameters
    ----------
    tif, path
        The open file and its name.
    shape, axes
        Of the series, as stored; axes behind Y (samples) are moved before it.
    """

    def __init__(self, tif: tifffile.TiffFile, path: Path, shape: tuple[int, ...], axes: str) -> None:
        self._tif, self._path, self._series = tif, path, tif.series[0]
        if "Y" not in axes or "X" not in axes or axes.index("Y") > axes.index("X"):
            raise InputError(f"{path} has axes {axes} and no YX planes; export it as an image")
        first = axes.index("Y")
        self._stored = np.dtype(self._series.dtype)
        self._contiguous = self._series.dataoffset
        if self._contiguous is None:
            first = min(first, len(shape) - self._piece_rank(shape))
        self._piece_shape, piece_axes = shape[first:], axes[first:]
        yx = [piece_axes.index("Y"), piece_axes.index("X")]
        self._order = [position for position in range(len(piece_axes)) if position not in yx] + yx
        self.shape = shape[:first] + tuple(self._piece_shape[position] for position in self._order)
        self.axes = axes[:first] + "".join(piece_axes[position] for position in self._order)
        self._per_piece = math.prod(self.shape[first:-2])
        self._signed = self._stored == np.uint16 and tif.is_imagej and is_signed_16(tif.imagej_metadata or {})
        self.dtype = self._public_dtype()
        self._check(math.prod(shape[:first]))
        self._cached: tuple[int, NDArray[Any]] | None = None

    def _piece_rank(self, shape: tuple[int, ...]) -> int:
        """Return how many of the last axes one page of the file holds."""
        size = int(self._series.keyframe.size)
        for rank in range(len(shape) + 1):
            if math.prod(shape[len(shape) - rank :]) == size and rank >= 2:
                return rank
        raise InputError(f"{self._path}: a page of {size} values does not fit into shape {shape}")

    def _public_dtype(self) -> np.dtype[Any]:
        if self._signed:
            return np.dtype(np.int16)
        if self._stored == np.bool_:
            return np.dtype(np.uint8)
        if self._stored.kind not in "iuf":
            raise InputError(f"{self._path} holds values of type {self._stored}; an image has integers or real numbers")
        return self._stored.newbyteorder("=")

    def _check(self, pieces: int) -> None:
        """Refuse what the file cannot hold, before anything of that size is made."""
        path, length = self._path, self._tif.filehandle.size
        if self._contiguous is not None:
            end = self._contiguous + math.prod(self.shape) * self._stored.itemsize
            if end > length:
                raise InputError(
                    f"{path} is cut off: its pictures end at byte {end}, the file at {length}; copy it again"
                )
            return
        pages: list[Any] = list(self._series.pages)
        if len(pages) < pieces or any(page is None for page in pages[:pieces]):
            held = sum(page is not None for page in pages[:pieces])
            raise InputError(f"{path} is incomplete: {held} of {pieces} pages are there; copy all of its parts again")
        lengths: dict[int, int] = {}
        for number, page in enumerate(pages[:pieces]):
            handle = page.parent.filehandle
            if id(handle) not in lengths:
                lengths[id(handle)] = os.path.getsize(handle.path) if handle.is_file else handle.size
            _check_page(page, lengths[id(handle)], f"{path}, page {number + 1}")

    def _piece(self, number: int) -> NDArray[Any]:
        if self._contiguous is not None:
            count = math.prod(self._piece_shape)
            handle = self._tif.filehandle
            handle.seek(self._contiguous + number * count * self._stored.itemsize)
            stored = self._stored.newbyteorder(self._tif.byteorder)
            return handle.read_array(stored, count).reshape(self._piece_shape)
        page: Any = self._series.pages[number]
        handle = page.parent.filehandle
        closed = handle.closed
        if closed:  # a part of an OME image in several files
            handle.open()
        try:
            decoded = page.asarray(maxworkers=1)
        finally:
            if closed:
                handle.close()
        return np.asarray(decoded).reshape(self._piece_shape)

    def load(self, plane: int) -> NDArray[Any]:
        """Return plane `plane` (YX), a copy the caller may change."""
        number, inside = divmod(plane, self._per_piece)
        if self._cached is None or self._cached[0] != number:
            self._cached = None
            with guarded(self._path):
                piece = self._piece(number).transpose(self._order)
            self._cached = (number, piece.reshape(-1, *self.shape[-2:]))
        values = self._cached[1][inside]
        if self._per_piece == 1:
            self._cached = None
        return self._as_public(values)

    def _as_public(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._signed:
            values = (values ^ _SIGNED_16_OFFSET).astype(np.uint16).view(np.int16)
        return np.array(values, dtype=self.dtype, order="C")

    @property
    def has_regions(self) -> bool:
        """Whether planes lie uncompressed one after the other."""
        return self._contiguous is not None and self._per_piece == 1

    def region(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a part of a plane, a copy; only its rows are read."""
        height, width = self.shape[-2:]
        start, stop, _ = rows.indices(height)
        assert self._contiguous is not None
        handle = self._tif.filehandle
        with guarded(self._path):
            handle.seek(self._contiguous + (plane * height + start) * width * self._stored.itemsize)
            stored = self._stored.newbyteorder(self._tif.byteorder)
            values = handle.read_array(stored, max(stop - start, 0) * width).reshape(-1, width)
        return self._as_public(values[:, columns])


def _check_page(page: Any, length: int, name: str) -> None:
    """Check that all strips or tiles of a page lie inside the file and can hold the page."""
    key = page.keyframe
    wanted = math.prod(key.chunked)
    stored = [(start, count) for start, count in zip(page.dataoffsets, page.databytecounts, strict=False) if count > 0]
    if len(stored) != wanted:
        raise InputError(f"{name} is incomplete: {len(stored)} of {wanted} strips or tiles are there; copy it again")
    end = max(start + count for start, count in stored)
    if end > length or min(start for start, _ in stored) <= 0:
        raise InputError(f"{name} is cut off: its pixels end at byte {end}, the file at {length}; copy it again")
    held = sum(count for _, count in stored)
    if key.compression == tifffile.COMPRESSION.NONE:
        bits = key.bitspersample if isinstance(key.bitspersample, int) else min(key.bitspersample)
        if held * 8 < key.size * bits:
            raise InputError(f"{name} is incomplete: {held} bytes for {key.size} values of {bits} bit; copy it again")
    elif key.nbytes > max(_PAGE_ALWAYS_ALLOWED, held * _LARGEST_EXPANSION):
        raise InputError(f"{name} says that {held} bytes unpack to {key.nbytes}; that is not believed")
