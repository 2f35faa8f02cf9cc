"""Open OME-Zarr (OME-NGFF 0.4 in zarr format 2, 0.5 in format 3) plane by plane.

Full resolution only: level 0 of the first multiscale image. The sizes that the metadata announce are compared with what
one chunk takes before anything is read; chunks that are not stored are the fill value, as the format has it.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import axes as letters
from ..errors import InputError, MissingExtraError, QuietframeError
from .tiff_metadata import Description, micrometres, positive_number, seconds
from .tiff_reading import OpenImage

LARGEST_CHUNK = 1 << 30
"""Decoded bytes of one chunk that are still read; a file that announces more is not believed."""

_KEPT = 128 << 20
"""Bytes of decoded planes that are kept, so that a chunk of several planes is decoded once."""

_MOST_PLANES = 4_000_000


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is zarr, or at least says so by its name."""
    marks = (".zattrs", ".zgroup", ".zarray", "zarr.json")
    return path.suffix.lower() == ".zarr" or any((path / mark).exists() for mark in marks)


def open_zarr(path: Path) -> OpenImage:
    """Open the full resolution of an OME-Zarr folder.

    Parameters
    ----------
    path
        The folder, e.g. ``ramp.ome.zarr``.

    Raises
    ------
    MissingExtraError
        When the package zarr is not installed.
    InputError
        When the folder is no OME-Zarr image, is damaged, or announces what cannot be.
    """
    try:
        import zarr
    except ImportError:
        raise MissingExtraError("reading OME-Zarr", "zarr", "scale") from None
    with _guarded(path):
        try:
            group = zarr.open_group(str(path), mode="r")
        except (FileNotFoundError, zarr.errors.ContainsArrayError):
            raise InputError("is no zarr group, which an OME-Zarr image is; give the folder that holds it") from None
        attributes = dict(group.attrs)
        ome = _mapping(attributes.get("ome", attributes), "ome")
        multiscale = _first(ome, "multiscales")
        dataset = _first(multiscale, "datasets")
        try:
            array = group[str(dataset["path"])]
        except KeyError:
            raise InputError(f"names {dataset.get('path')!r} as its full resolution, which is not there") from None
        if not isinstance(array, zarr.Array):
            raise InputError(f"names {dataset['path']!r} as its full resolution, which is no array")
        names, units = _axes(multiscale, array.ndim)
        dtype = _check_array(array, names)
        scale = _scale(multiscale, dataset, array.ndim)
        description = replace(_describe(names, units, scale, _info(attributes, ome)), labels=_labels(attributes, array))
        planes = _Planes(path, array, names, dtype)
        return OpenImage(
            tuple(planes.shape), planes.axes, dtype, description, planes.load, planes.forget,
            planes.region, planes.block,
        )  # fmt: skip


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong inside a zarr folder into one `InputError`: metadata and codecs raise all kinds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MemoryError:
        raise InputError(f"{path} needs more than this machine's memory for one chunk") from None
    except QuietframeError as error:
        raise InputError(f"{path} {error}") from None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(
            f"{path} is damaged or not an OME-Zarr that can be read ({reason}); export it again"
        ) from error


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"has OME metadata that cannot be read: {name} is {str(value)[:60]!r}; export it again")
    return value


def _first(ome: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the first entry of a list in the metadata."""
    entries = ome.get(key)
    if entries is None and key == "multiscales":
        plate = "plate" in ome or "bioformats2raw.layout" in ome
        raise InputError(
            "is zarr that holds several images; give the folder of one, e.g. its 0"
            if plate
            else "is zarr without OME metadata (multiscales); export it as OME-Zarr or OME-TIFF"
        )
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise InputError(f"has OME metadata that cannot be read: {key} is {str(entries)[:60]!r}; export it again")
    return _mapping(entries[0], key)


def _axes(multiscale: Mapping[str, Any], ndim: int) -> tuple[str, list[str]]:
    """Return the letters of the axes and their units ("" where there is none)."""
    given = multiscale.get("axes")
    if given is None:  # before OME-NGFF 0.4 axes were optional: always these five
        given = ["t", "c", "z", "y", "x"]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(f"has OME metadata that cannot be read: axes is {str(given)[:60]!r}; export it again")
    entries = [{"name": axis} if isinstance(axis, str) else _mapping(axis, "axes") for axis in given]
    names = [str(entry.get("name", "")) for entry in entries]
    wrong = [name for name in names if name.lower() not in {"t", "c", "z", "y", "x"}]
    if wrong:
        raise InputError(f"has an axis {wrong[0][:40]!r}; t, c, z, y and x are read (axes: {', '.join(names)[:80]})")
    if len(names) != ndim:
        raise InputError(f"names {len(names)} axes ({', '.join(names)}) for an array of {ndim}; export it again")
    return "".join(names).upper(), [str(entry.get("unit") or "") for entry in entries]


def _check_array(array: Any, names: str) -> np.dtype[Any]:
    """Check axes, type and sizes of the array before anything is read, and return the type of the planes."""
    try:
        names = letters.normalize(names, array.shape)
    except InputError as error:
        raise InputError(f"cannot be read: {error}") from None
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "iufb":
        raise InputError(f"holds values of type {dtype}; an image has integers or real numbers")
    if min(array.shape) < 1:
        raise InputError(f"is empty: shape {tuple(array.shape)}")
    chunk = math.prod(array.chunks) * dtype.itemsize
    if chunk > LARGEST_CHUNK:
        raise InputError(
            f"has chunks of {chunk / 2**30:.3g} GiB (shape {tuple(array.chunks)} of {dtype}); "
            f"chunks of up to {LARGEST_CHUNK / 2**30:g} GiB are read: store it in smaller ones"
        )
    sizes = dict(zip(names, array.shape, strict=True))
    planes = math.prod(size for letter, size in sizes.items() if letter not in "YX")
    plane = sizes["Y"] * sizes["X"] * dtype.itemsize
    if planes > _MOST_PLANES or plane > LARGEST_CHUNK:
        raise InputError(f"announces {planes} planes of {sizes['Y']} x {sizes['X']}, more than any image holds")
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def _scale(multiscale: Mapping[str, Any], dataset: Mapping[str, Any], ndim: int) -> list[float] | None:
    """Return the step along each axis, that of the level times that of the whole image; None when none is given."""
    scale = [1.0] * ndim
    found = False
    for owner in (dataset, multiscale):
        transformations = owner.get("coordinateTransformations") or []
        if not isinstance(transformations, Sequence) or isinstance(transformations, str):
            raise InputError("has OME metadata that cannot be read: coordinateTransformations is no list")
        for entry in transformations:
            steps = _mapping(entry, "coordinateTransformations").get("scale")
            if steps is None:
                continue
            found = True
            numbers = [positive_number(step) for step in steps] if isinstance(steps, Sequence) else []
            if len(numbers) != ndim or None in numbers:
                raise InputError(f"has a scale {str(steps)[:60]} that is not {ndim} numbers above 0; export it again")
            scale = [old * float(step or 1.0) for old, step in zip(scale, numbers, strict=True)]
    return scale if found else None


def _describe(names: str, units: Sequence[str], scale: Sequence[float] | None, info: Mapping[str, str]) -> Description:
    """Return calibration and Info; a scale without a unit is a number of pixels or frames, so unknown."""
    if scale is None:
        return Description(info=info)
    along = dict(zip(names, zip(scale, units, strict=True), strict=True))
    sizes: dict[str, float] = {}
    for letter in letters.SPATIAL:
        step, unit = along.get(letter, (1.0, ""))
        factor = micrometres(unit)
        if factor is not None:
            sizes[letter] = step * factor
    step, unit = along.get("T", (1.0, ""))
    factor = seconds(unit) if unit else None
    return Description(sizes if {"X", "Y"} <= set(sizes) else {}, step * factor if factor else None, info)


def _info(attributes: Mapping[str, Any], ome: Mapping[str, Any]) -> dict[str, str]:
    """Return what else the attributes say: the dicts "ndr" and "quietframe", flat "ndr.*" keys, and channel names."""
    info = {key: _text(value) for key, value in _kept(attributes, "info", Mapping).items() if _plain(key)}
    omero = ome.get("omero", attributes.get("omero"))
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    for number, channel in enumerate(channels if isinstance(channels, list) else [], 1):
        if isinstance(channel, Mapping) and channel.get("label"):
            info[f"ome.channel_{number}"] = _text(channel["label"])
    for key, value in attributes.items():
        if key in {"ndr", "quietframe"} and isinstance(value, Mapping):
            info |= {_key(key, name): _text(entry) for name, entry in value.items() if _plain(name)}
        elif re.match(r"(ndr|quietframe)\.", key) and _plain(key):
            info[key] = _text(value)
    return info


def _labels(attributes: Mapping[str, Any], array: Any) -> tuple[str, ...]:
    """Return the slice labels that `quietframe.images.zarr_writing` has kept, where there is one for each plane."""
    labels = tuple(_text(label) for label in _kept(attributes, "labels", list))
    return labels if len(labels) == math.prod(array.shape[:-2]) else ()


def _kept(attributes: Mapping[str, Any], key: str, kind: Any) -> Any:
    """Return what was kept of ImageJ under `key`; something empty where it is not there or not of that kind."""
    owner = attributes.get("imagej")
    found = owner.get(key) if isinstance(owner, Mapping) else None
    return found if isinstance(found, kind) else ({} if kind is Mapping else [])


def _plain(name: Any) -> bool:
    """Tell whether a name can be a key of Info."""
    return isinstance(name, str) and name == name.strip() != "" and not re.search(r"[=\n\r\0]", name)


def _key(prefix: str, name: str) -> str:
    return name if re.match(r"(ndr|quietframe)\.", name) else f"{prefix}.{name}"


def _text(value: Any) -> str:
    """Write a value in one line; a list as numbers with commas between."""
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value)
    return " ".join(str(value).split())


class _Planes:
    """The YX planes of an array, in stored order.

    Where a chunk holds several planes, those of the last group of chunks are kept: going through the planes in order
    decodes every chunk once. Memory: the kept planes (at most `_KEPT`, else one plane is read at a time) and what
    decodes at once.
    """

    def __init__(self, path: Path, array: Any, names: str, dtype: np.dtype[Any]) -> None:
        self._path, self._array, self._dtype = path, array, dtype
        lead = [position for position, letter in enumerate(names) if letter not in "YX"]
        self._lead, self._y, self._x = lead, names.index("Y"), names.index("X")
        self._sizes = [int(array.shape[position]) for position in lead]
        self.axes = "".join(names[position] for position in lead) + "YX"
        self.shape = [*self._sizes, int(array.shape[self._y]), int(array.shape[self._x])]
        self._depths = self._kept_depths(array.chunks)
        self._kept: tuple[Any, NDArray[Any]] | None = None
        self.block = (int(array.chunks[self._y]), int(array.chunks[self._x]))

    def _kept_depths(self, chunks: Sequence[int]) -> list[int]:
        """Return how many planes along each leading axis are read together."""
        depths = [min(int(chunks[position]), size) for position, size in zip(self._lead, self._sizes, strict=True)]
        plane = self.shape[-2] * self.shape[-1] * self._dtype.itemsize
        for position in range(len(depths)):
            # The outer axes give way first: the planes that come next lie along the inner ones.
            others = math.prod(depths) // depths[position]
            depths[position] = max(1, min(depths[position], _KEPT // max(1, plane * others)))
        return depths

    def load(self, index: int) -> NDArray[Any]:
        """Return plane `index`, counted from 0."""
        return self.region(index, slice(None), slice(None))

    def region(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a part of plane `index`; of its neighbours the same part is kept."""
        place = [int(number) for number in np.unravel_index(index, self._sizes)] if self._sizes else []
        corner = tuple(at - at % depth for at, depth in zip(place, self._depths, strict=True))
        key = (corner, rows.indices(self.shape[-2]), columns.indices(self.shape[-1]))
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # before the next is made: never two at once
            self._kept = (key, self._read(corner, rows, columns))
        offsets = tuple(at - start for at, start in zip(place, corner, strict=True))
        return np.array(self._kept[1][offsets], order="C")

    def _read(self, corner: tuple[int, ...], rows: slice, columns: slice) -> NDArray[Any]:
        """Decode a part of the planes that begin at `corner`, leading axes first."""
        selection: list[slice] = [slice(None)] * len(self._array.shape)
        selection[self._y], selection[self._x] = rows, columns
        for position, start, depth in zip(self._lead, corner, self._depths, strict=True):
            selection[position] = slice(start, start + depth)
        with _guarded(self._path):
            block = np.asarray(self._array[tuple(selection)])
            return block.transpose([*self._lead, self._y, self._x]).astype(self._dtype, copy=False)

    def forget(self) -> None:
        """Let go of the kept planes."""
        self._kept = None
