"""Open and read image files, whole or plane by plane; the format is recognised by content, not by name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import axes as letters
from ..errors import InputError
from .image import Image, ImageMeta, ending_in_yx
from .tiff_metadata import Description
from .tiff_reading import OpenImage, guarded, open_tiff
from .zarr_reading import is_zarr, open_zarr

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG = b"\x89PNG\r\n\x1a\n"
_NPY = b"\x93NUMPY"
_UNREAD = {
    ".czi": "Zeiss CZI", ".nd2": "Nikon ND2", ".lif": "Leica LIF", ".oir": "Olympus OIR", ".oib": "Olympus OIB",
    ".ims": "Imaris", ".h5": "HDF5", ".hdf5": "HDF5", ".fits": "FITS", ".mrc": "MRC", ".dm3": "Gatan DM3",
    ".dm4": "Gatan DM4", ".jpg": "JPEG", ".jpeg": "JPEG", ".npz": "NPZ", ".mat": "MATLAB", ".avi": "AVI",
}  # fmt: skip
_LARGEST_PNG_EXPANSION = 1100  # deflate reaches 1032


class ImageReader:
    """An open image file: what it holds, and its planes one by one. A context manager.

    Memory: one plane, or one page of the file where a page holds several planes (RGB samples).

    Attributes
    ----------
    path : Path
    shape, axes, dtype
        Of the whole image; axes end in YX.
    meta : ImageMeta
        Shape, axes, calibration, Info and labels.
    remarks : tuple of str
        Sentences for the user about what was taken for granted.
    block : tuple of int
        Height and width of the smallest part of a plane that `region` reads: a plane, a chunk, or one row.
    """

    def __init__(self, path: Path, opened: OpenImage, axes: str | None = None) -> None:
        self.path = path
        self._load, self._close, self._region = opened.load, opened.close, opened.region
        self.block = opened.block or (opened.shape[-2], opened.shape[-1])
        described, remarks = opened.description, opened.description.remarks
        if axes is not None:
            try:
                axes = ending_in_yx(axes, opened.shape)
            except InputError as error:
                raise InputError(f"{path}: {error}; its own axes are {opened.axes}") from None
            remarks = tuple(remark for remark in remarks if "--axes" not in remark)
            labels_fit = len(described.labels) == letters.pages_of(opened.shape, axes)
            described = described if labels_fit else replace(described, labels=())
        self.dtype = opened.dtype
        self.remarks = remarks
        self.meta = ImageMeta(
            opened.shape, axes or opened.axes, described.pixel_size_um, described.frame_interval_s,
            described.info, described.labels,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole image."""
        return self.meta.shape

    @property
    def axes(self) -> str:
        """Letters over ``STCZYX``, ending in YX."""
        return self.meta.axes

    @property
    def pixel_size_um(self) -> Mapping[str, float]:
        """Micrometres per pixel, keys out of "ZYX"; empty when unknown."""
        return self.meta.pixel_size_um

    @property
    def frame_interval_s(self) -> float | None:
        """Seconds from frame to frame, None when unknown."""
        return self.meta.frame_interval_s

    @property
    def info(self) -> Mapping[str, str]:
        """Keys and texts of ImageJ's Info."""
        return self.meta.info

    @property
    def labels(self) -> tuple[str, ...]:
        """Slice labels, one per plane, or none."""
        return self.meta.labels

    @property
    def n_planes(self) -> int:
        """Number of YX planes."""
        return self.meta.n_planes

    def plane(self, index: int) -> NDArray[Any]:
        """Return plane `index` (YX), counted from 0 in stored order.

        Raises
        ------
        InputError
            When the plane cannot be decoded.
        IndexError
            When there is no such plane.
        """
        if not 0 <= index < self.n_planes:
            raise IndexError(f"plane {index} of {self.n_planes}")
        return self._load(index)

    def region(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a part of plane `index`, reading no more of it than the format asks for (see `block`)."""
        if self._region is None:
            return self.plane(index)[rows, columns]
        if not 0 <= index < self.n_planes:
            raise IndexError(f"plane {index} of {self.n_planes}")
        return self._region(index, rows, columns)

    def planes(self) -> Iterator[NDArray[Any]]:
        """Give all planes (YX) in stored order."""
        for index in range(self.n_planes):
            yield self._load(index)

    def read(self) -> Image:
        """Read the whole image into memory."""
        try:
            array = np.empty(self.shape, self.dtype)
        except MemoryError:
            raise InputError(f"{self.path}: {self.shape} of {self.dtype} is more than this machine's memory") from None
        flat = array.reshape(-1, *self.shape[-2:])
        for index, plane in enumerate(self.planes()):
            flat[index] = plane
        meta = self.meta
        return Image(array, meta.axes, meta.pixel_size_um, meta.frame_interval_s, meta.info, meta.labels, self.remarks)

    def close(self) -> None:
        """Close the file."""
        self._close()

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_image(path: str | os.PathLike[str], *, axes: str | None = None) -> ImageReader:
    """Open an image to read it plane by plane.

    Parameters
    ----------
    path
        TIFF, OME-TIFF (or its ``.companion.ome``), zipped TIFF, PNG, NPY, or the folder of an OME-Zarr image;
        recognised by content.
    axes
        Letters to use instead of the file's, one per axis, ending in YX.

    Raises
    ------
    InputError
        When the file is missing, damaged, of another format, or `axes` do not fit.
    """
    path = Path(path)
    opener = _opener(path)
    opened = opener(path)
    try:
        return ImageReader(path, opened, axes)
    except BaseException:
        opened.close()
        raise


def read_image(path: str | os.PathLike[str], *, axes: str | None = None) -> Image:
    """Read a whole image; see `open_image`.

    Returns
    -------
    Image
        Values and type as stored (1-bit as uint8 of 0 and 1), in the machine's byte order.
    """
    with open_image(path, axes=axes) as reader:
        return reader.read()


def _opener(path: Path) -> Callable[[Path], OpenImage]:
    """Find the format by the first bytes, or say why there is none."""
    try:
        is_folder, is_special = path.is_dir(), path.exists() and not path.is_file()
    except OSError as error:  # a name that is too long
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if is_folder:
        if is_zarr(path):
            return open_zarr
        raise InputError(f"{path} is a folder; give one image file{_nearby(path, '')}")
    if is_special:  # reading a pipe would wait for ever
        raise InputError(f"{path} is not a regular file; save the image to a file first")
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist{_nearby(path.parent, path.name)}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if head.startswith(_TIFF) or head.startswith(b"PK") or path.name.lower().endswith(".companion.ome"):
        return open_tiff
    if head.startswith(_PNG):
        return _open_png
    if head.startswith(_NPY):
        return _open_npy
    if not head:
        raise InputError(f"{path} is empty (0 bytes); copy it again")
    kind = _UNREAD.get(path.suffix.lower())
    if kind or head.startswith(b"ZISRAWFILE"):
        raise InputError(f"{path}: {kind or 'Zeiss CZI'} is not a supported format; export it as OME-TIFF")
    raise InputError(f"{path} is not TIFF, PNG or NPY (it begins with {head[:8]!r}); export it as TIFF")


def _nearby(folder: Path, name: str) -> str:
    """Name files that may have been meant."""
    try:
        there = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())[:10_000]
    except OSError:
        return f"; the folder {folder} is not there either"
    if name:
        near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
        return f"; did you mean {' or '.join(near)}?" if near else f"; {folder} holds {len(there)} other files"
    images = [entry for entry in there if entry.lower().endswith((".tif", ".tiff", ".png", ".npy"))][:3]
    return f", e.g. {' or '.join(images)}" if images else ""


def _open_array(path: Path, array: NDArray[Any], axes: str, remarks: tuple[str, ...] = ()) -> OpenImage:
    """Make an `OpenImage` of an array that is already at hand (or mapped)."""
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path} holds values of type {array.dtype}; an image has integers or real numbers")
    if array.size == 0:
        raise InputError(f"{path} is empty: shape {array.shape}")
    dtype = array.dtype.newbyteorder("=")
    lead = array.shape[:-2]

    def load(index: int) -> NDArray[Any]:
        return np.array(array[np.unravel_index(index, lead)] if lead else array, dtype=dtype, order="C")

    return OpenImage(array.shape, axes, dtype, Description(remarks=remarks), load, lambda: None)


def _open_png(path: Path) -> OpenImage:
    import imagecodecs

    data = path.read_bytes()
    height, width = int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    if height * width > max(1 << 28, len(data) * _LARGEST_PNG_EXPANSION * 8):
        raise InputError(f"{path} says that {len(data)} bytes unpack to {height} x {width} pixels; not believed")
    with guarded(path):
        pixels = np.asarray(imagecodecs.png_decode(data))
    if pixels.ndim == 3 and pixels.shape[-1] > 1:
        return _open_array(path, np.moveaxis(pixels, -1, 0), "SYX")
    return _open_array(path, pixels.reshape(pixels.shape[:2]), "YX")


def _open_npy(path: Path) -> OpenImage:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, TypeError, SyntaxError, OverflowError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path} is damaged or not an array of numbers ({reason}); save it again") from None
    try:
        axes = letters.default_axes(array.ndim)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    remarks = ("NPY files do not name axes: taken as " + axes + "; --axes says otherwise",) if array.ndim > 2 else ()
    return _open_array(path, array, axes, remarks)


def require_gray(
    meta: Image | ImageMeta | ImageReader, source: object = "the image", *, axes_option: bool = True
) -> None:
    """Refuse colour samples (RGB): noise statistics need one value per pixel.

    Raises
    ------
    InputError
        When there is an S axis, with what to do.
    """
    if "S" in meta.axes:
        shape = meta.array.shape if isinstance(meta, Image) else meta.shape
        channels = meta.axes.replace("S", "C") if "C" not in meta.axes else "TCYX"
        raise InputError(
            f"{source} is a colour picture (axes {meta.axes}, shape {tuple(shape)}); a gray one is needed: "
            + (f"convert it, or add --axes {channels} to take its samples as channels" if axes_option else "convert it")
        )
