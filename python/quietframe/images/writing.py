"""Write images plane by plane: ImageJ hyperstacks, OME-TIFF, OME-Zarr, PNG, NPY. The suffix chooses.

Converting to a narrower type is explicit: values are rounded and clipped to its range, never wrapped; NaN is refused.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..axes import pages_of
from ..errors import InputError, OptionError
from ..outputs import atomic_output, check_output
from . import zarr_writing
from .image import Image, ImageMeta
from .tiff_metadata import Description, imagej_tags, ome_tags

_TYPES = ("float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32")
_IMAGEJ_TYPES = ("float32", "uint8", "uint16", "int16")
_PNG_TYPES = ("uint8", "uint16")
_ORDER = "TZCSYX"
"""ImageJ's order of planes (C runs fastest); S, the samples of a colour pixel, lie inside a plane."""

_CLASSIC_LIMIT = 2**32 - 2**25
"""Bytes of pixels up to which offsets of 32 bits reach everything, directories included."""


def file_order(meta: ImageMeta, path: str | os.PathLike[str]) -> tuple[ImageMeta, NDArray[np.int64]]:
    """Say in which order the format that `path` names holds the planes of an image.

    Parameters
    ----------
    meta
        The image.
    path
        The file to come.

    Returns
    -------
    meta
        With axes, shape and labels in the order of the format.
    numbers
        Number of each plane in the image, shape that of the ordered image without YX.
    """
    numbers = np.arange(meta.n_planes).reshape(meta.shape[:-2])
    name = Path(path).name.lower()
    order = zarr_writing.ORDER if name.endswith(".zarr") else _ORDER
    wanted = "".join(letter for letter in order if letter in meta.axes)
    if name.endswith(".npy") or wanted == meta.axes or sorted(wanted) != sorted(meta.axes):
        return meta, numbers
    turned = numbers.transpose([meta.axes.index(letter) for letter in wanted[:-2]])
    labels = meta.labels
    if labels and len(labels) == pages_of(meta.shape, meta.axes):  # the samples of a colour pixel share one
        lead = [letter for letter in meta.axes if letter not in "SYX"]
        grid = np.arange(len(labels)).reshape([meta.shape[meta.axes.index(letter)] for letter in lead])
        pages = grid.transpose([lead.index(letter) for letter in wanted if letter in lead])
        labels = tuple(labels[page] for page in pages.flat)
    return replace(meta, shape=(*turned.shape, *meta.shape[-2:]), axes=wanted, labels=labels), turned


def _check_labels(meta: ImageMeta) -> None:
    pages = pages_of(meta.shape, meta.axes)
    if meta.labels and len(meta.labels) != pages:
        raise InputError(f"there are {len(meta.labels)} labels for {pages} planes; give one per plane, or none")


def convert(plane: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Convert values to `dtype`: rounded to the nearest and clipped to its range, never wrapped.

    Parameters
    ----------
    plane
        Integers or real numbers.
    dtype
        One of float32, float64, uint8, uint16, uint32, int8, int16, int32.

    Raises
    ------
    InputError
        When NaN meets an integer type, or a finite value is beyond float32.
    """
    plane = np.asarray(plane)
    if plane.dtype.kind not in "iufb":
        raise InputError(f"values of type {plane.dtype} cannot be written; give integers or real numbers")
    target = np.dtype(dtype)
    if plane.dtype == target:
        return plane
    if target.kind == "f":
        with np.errstate(over="ignore"):
            converted = plane.astype(target)
        if plane.dtype.kind == "f" and target.itemsize < plane.dtype.itemsize:
            lost = np.isinf(converted) & ~np.isinf(plane)
            if lost.any():
                raise InputError(f"{plane[lost].flat[0]:g} is beyond {dtype}; scale the image down first")
        return converted
    limits = np.iinfo(target)
    if plane.dtype.kind == "f":
        if np.isnan(plane).any():
            raise InputError(
                f"NaN cannot be written as {dtype}; write float32, or fill the {np.isnan(plane).sum()} pixels"
            )
        plane = np.rint(plane)
        # The largest value of a wide type is not a float32; compare as float64, where it is.
        plane = plane.astype(np.float64)
    clipped: NDArray[Any] = np.clip(plane, limits.min, limits.max).astype(target)
    return clipped


def check_image(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Check, before long work starts, that an image can be written to `path` at its end.

    Raises
    ------
    OutputError, MissingExtraError
        As `quietframe.outputs.check_output`; a ``.zarr`` as `quietframe.images.zarr_writing.check_zarr`.
    """
    if Path(path).name.lower().endswith(".zarr"):
        return zarr_writing.check_zarr(path, overwrite=overwrite)
    return check_output(path, overwrite=overwrite)


def write_image(path: str | os.PathLike[str], image: Image, *, dtype: str = "float32", overwrite: bool = False) -> Path:
    """Write a whole image; the suffix chooses the format, see `write_planes`.

    The axes are brought into the format's order (TZCYX for ImageJ), labels with them.

    Returns
    -------
    Path
        The file that was written.
    """
    meta, numbers = file_order(image.meta, path)
    planes = image.array.reshape(meta.n_planes, *image.array.shape[-2:])
    return write_planes(path, (planes[number] for number in numbers.flat), meta, dtype=dtype, overwrite=overwrite)


def write_planes(
    path: str | os.PathLike[str],
    planes: Iterable[NDArray[Any]],
    meta: ImageMeta,
    *,
    dtype: str = "float32",
    overwrite: bool = False,
) -> Path:
    """Write an image plane by plane; peak memory is a few planes.

    Parameters
    ----------
    path
        ``.tif``/``.tiff`` ImageJ hyperstack (also beyond 4 GB, where ImageJ reads it by its first directory);
        ``.ome.tif``/``.ome.tiff`` OME-TIFF; ``.zarr`` a folder, OME-Zarr 0.4 (extra ``scale``); ``.png`` one uint8 or
        uint16 plane or RGB; ``.npy`` pixels only.
    planes
        YX arrays in the order of ``meta.axes``; as many as ``meta.shape`` says.
    meta
        Shape, axes, calibration, Info and labels. For TIFF the axes before YX must be in the order TZC(S), for
        OME-Zarr TCZ: `file_order` brings them there.
    dtype
        Type of the file: float32, or an integer type when that is wanted: values are rounded and clipped to its range.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    InputError
        When NaN or values beyond float32 cannot be stored as `dtype`.
    OptionError
        When the format cannot hold these axes or this type.
    OutputError
        When the file exists, or cannot be written.
    """
    path = Path(path)
    if dtype not in _TYPES:
        raise OptionError(f"dtype {dtype!r} cannot be written; allowed: {', '.join(_TYPES)}")
    name = path.name.lower()
    _check_labels(meta)
    if name.endswith((".tif", ".tiff")):
        is_ome = name.endswith((".ome.tif", ".ome.tiff"))
        _check_tiff(path, meta, dtype, is_ome)
        with atomic_output(path, overwrite=overwrite) as partial:
            _write_tiff(partial, _checked(planes, meta, dtype), meta, dtype, is_ome)
    elif name.endswith(".png"):
        _check_png(path, meta, dtype)
        with atomic_output(path, overwrite=overwrite) as partial:
            _write_png(partial, list(_checked(planes, meta, dtype)))
    elif name.endswith(".zarr"):
        zarr_writing.write_zarr(path, _checked(planes, meta, dtype), meta, dtype=dtype, overwrite=overwrite)
    elif name.endswith(".npy"):
        with atomic_output(path, overwrite=overwrite) as partial, partial.open("wb") as stream:
            _write_npy(stream, _checked(planes, meta, dtype), meta, dtype)
    else:
        raise OptionError(
            f"{path}: unknown suffix {path.suffix!r}; "
            "allowed: .tif (ImageJ), .ome.tif (OME-TIFF), .ome.zarr, .png, .npy"
        )
    return path


def _checked(planes: Iterable[NDArray[Any]], meta: ImageMeta, dtype: str) -> Iterator[NDArray[Any]]:
    """Convert planes one by one; too few, too many or of another shape is a fault of the caller."""
    count = 0
    for plane in planes:
        count += 1
        if plane.shape != meta.shape[-2:] or count > meta.n_planes:
            raise ValueError(
                f"plane {count} has shape {plane.shape}; the file has {meta.n_planes} of {meta.shape[-2:]}"
            )
        yield convert(plane, dtype)
    if count != meta.n_planes:
        raise ValueError(f"{count} planes came; {meta.n_planes} were announced")


def _check_tiff(path: Path, meta: ImageMeta, dtype: str, is_ome: bool) -> None:
    wanted = "".join(letter for letter in _ORDER if letter in meta.axes)
    if wanted != meta.axes:
        raise OptionError(f"{path}: planes of axes {meta.axes} must come in the order {wanted}")
    if min(meta.shape) == 0:
        raise InputError(f"{path}: an image of shape {meta.shape} is empty and cannot be written")
    if not is_ome and dtype not in _IMAGEJ_TYPES:
        raise OptionError(
            f"{path}: ImageJ has no {dtype}; choose one of {', '.join(_IMAGEJ_TYPES)}, or name the file .ome.tif"
        )
    if "S" in meta.axes:
        samples = meta.shape[-3]
        if samples not in {3, 4} or (not is_ome and dtype != "uint8"):
            raise OptionError(
                f"{path}: {samples} colour samples of {dtype} cannot be stored; RGB is 3 or 4 of uint8 "
                "(OME-TIFF: any type). Name the axis C to store channels"
            )


def _write_tiff(partial: Path, planes: Iterator[NDArray[Any]], meta: ImageMeta, dtype: str, is_ome: bool) -> None:
    import tifffile

    shape, axes = meta.shape, meta.axes
    samples = 1
    if "S" in axes:  # files hold samples behind X
        samples = shape[-3]
        shape, axes = (*shape[:-3], *shape[-2:], samples), axes.replace("SYX", "YXS")
    description = Description(meta.pixel_size_um, meta.frame_interval_s, meta.info, meta.labels)
    options = ome_tags(description, axes) if is_ome else imagej_tags(description, shape, axes)
    # Said in every case: tifffile would take a last axis of 3 or 4, a narrow picture, for colours.
    options["photometric"] = "rgb" if samples > 1 else "minisblack"
    large = math.prod(shape) * np.dtype(dtype).itemsize > _CLASSIC_LIMIT
    pages = _pages(planes, samples)
    with closing(pages), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*truncating ImageJ file")
        with tifffile.TiffWriter(partial, imagej=not is_ome, ome=is_ome, bigtiff=is_ome and large) as writer:
            # Beyond 4 GB ImageJ reads the planes behind the one directory that 32-bit offsets can reach.
            if large and not is_ome:
                options["truncate"] = True
            writer.write(pages, shape=shape, dtype=dtype, **options)
        for _ in planes:  # the check of the number of planes is at the end of the planes
            raise ValueError(f"more than {meta.n_planes} planes came")


def _pages(planes: Iterator[NDArray[Any]], samples: int) -> Generator[NDArray[Any]]:
    """Put the samples of a colour picture together."""
    if samples == 1:
        yield from planes
        return
    gathered: list[NDArray[Any]] = []
    for plane in planes:
        gathered.append(plane)
        if len(gathered) == samples:
            yield np.stack(gathered, axis=-1)
            gathered = []


def _check_png(path: Path, meta: ImageMeta, dtype: str) -> None:
    if dtype not in _PNG_TYPES:
        raise OptionError(
            f"{path}: PNG holds {' or '.join(_PNG_TYPES)}, not {dtype}; choose one, or name the file .tif"
        )
    samples = meta.shape[-3] if meta.axes == "SYX" else 1
    if meta.n_planes != samples or samples not in {1, 3, 4}:
        raise OptionError(
            f"{path}: PNG holds one gray or RGB picture, not axes {meta.axes} of shape {meta.shape}; name the file .tif"
        )


def _write_png(partial: Path, planes: list[NDArray[Any]]) -> None:
    import imagecodecs

    picture = planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)
    partial.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(picture)))


def _write_npy(stream: BinaryIO, planes: Iterator[NDArray[Any]], meta: ImageMeta, dtype: str) -> None:
    header = {"descr": np.dtype(dtype).newbyteorder("<").str, "fortran_order": False, "shape": meta.shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for plane in planes:
        stream.write(np.ascontiguousarray(plane).astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes())
