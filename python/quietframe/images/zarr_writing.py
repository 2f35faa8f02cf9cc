"""Write OME-Zarr (OME-NGFF 0.4, zarr format 2): planes in order, or any part of an image, one chunk at a time.

Format 2 is what Fiji, napari and bioformats read today; 0.5 is read here too. One level, full resolution. Info and
slice labels of ImageJ are kept under the attribute ``imagej``.

References
----------
OME-NGFF specification 0.4, "multiscales" metadata.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, OptionError
from ..outputs import atomic_folder, check_folder
from .image import ImageMeta

ORDER = "TCZYX"
"""Order of the axes that OME-Zarr asks for."""

CHUNK_PX = 1024
"""Largest side of a chunk, where nobody says otherwise [px]."""

_ROWS_BYTES = 1 << 26
_TYPES = {"T": "time", "C": "channel"}
_COMPRESSION = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
_MARKS = (".zattrs", ".zgroup", ".zarray", "zarr.json")


def check_zarr(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Check, before long work starts, that an OME-Zarr folder can be written at its end.

    Raises
    ------
    MissingExtraError
        When the package zarr is not installed.
    OutputError
        When the folder exists and is not to be replaced, is no zarr, or cannot be made.
    """
    _zarr()
    return check_folder(path, overwrite=overwrite, marks=_MARKS)


@contextmanager
def zarr_output(
    path: str | os.PathLike[str],
    meta: ImageMeta,
    *,
    dtype: str,
    chunks: Sequence[int] | None = None,
    overwrite: bool = False,
) -> Iterator[Any]:
    """Give a zarr array to fill, in any order; the folder gets its name when the block ends without an error.

    Parameters
    ----------
    path
        The folder to come, ``NAME.ome.zarr``.
    meta
        Shape, axes (in the order TCZYX), calibration, Info and labels.
    dtype
        Type of the pixels.
    chunks
        Sides of a chunk, one per axis; by default planes of at most `CHUNK_PX` x `CHUNK_PX`.
    overwrite
        Whether an existing zarr folder may be replaced.

    Raises
    ------
    OptionError
        For colour samples.
    MissingExtraError, OutputError
        As `check_zarr`.
    """
    zarr = _zarr()
    if "S" in meta.axes:
        raise OptionError(f"{path}: OME-Zarr has no colour samples (axes {meta.axes}); name the axis C")
    if meta.axes != "".join(letter for letter in ORDER if letter in meta.axes):
        raise OptionError(f"{path}: axes {meta.axes} must come in the order {ORDER}")
    lead = len(meta.shape) - 2
    usual = (*[1] * lead, *(min(CHUNK_PX, size) for size in meta.shape[-2:]))
    with atomic_folder(path, overwrite=overwrite, marks=_MARKS) as partial:
        group = zarr.open_group(str(partial), mode="w", zarr_format=2)
        group.attrs.update(_attributes(meta, Path(path)))
        yield group.create_array(
            "0", shape=meta.shape, chunks=tuple(chunks or usual), dtype=dtype, fill_value=0,
            compressors=_COMPRESSION,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip


def write_zarr(
    path: str | os.PathLike[str],
    planes: Iterable[NDArray[Any]],
    meta: ImageMeta,
    *,
    dtype: str,
    overwrite: bool = False,
) -> None:
    """Write planes in the order of ``meta.axes``; in memory is one plane."""
    with zarr_output(path, meta, dtype=dtype, overwrite=overwrite) as array:
        lead = meta.shape[:-2]
        rows = _band(meta.shape, dtype)
        for index, plane in enumerate(planes):
            place = tuple(int(number) for number in np.unravel_index(index, lead)) if lead else ()
            for start in range(0, meta.shape[-2], rows):
                array[(*place, slice(start, start + rows))] = plane[start : start + rows]


def _band(shape: Sequence[int], dtype: str) -> int:
    """Return how many rows to write at once: whole chunks, since a chunk is written as a whole."""
    row = shape[-1] * np.dtype(dtype).itemsize
    return max(1, _ROWS_BYTES // max(1, row * CHUNK_PX)) * CHUNK_PX


def _attributes(meta: ImageMeta, path: Path) -> dict[str, Any]:
    axes, scale = [], []
    for letter in meta.axes:
        axis = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
        size = meta.frame_interval_s if letter == "T" else meta.pixel_size_um.get(letter)
        if size is not None:
            axis["unit"] = "second" if letter == "T" else "micrometer"
        axes.append(axis)
        scale.append(float(size) if size is not None else 1.0)
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    name = path.name.removesuffix(".zarr").removesuffix(".ome")
    attributes: dict[str, Any] = {
        "multiscales": [{"version": "0.4", "name": name, "axes": axes, "datasets": [level]}],
    }
    kept: Mapping[str, Any] = {"info": dict(meta.info), "labels": list(meta.labels)}
    if any(kept.values()):
        attributes["imagej"] = {key: value for key, value in kept.items() if value}
    return attributes


def _zarr() -> Any:
    try:
        import zarr
    except ImportError:
        raise MissingExtraError("writing OME-Zarr", "zarr", "scale") from None
    return zarr
