"""Read a model package: Quietframe's own, another bioimage.io package with ONNX weights, or a bare ``.onnx`` file.

Whatever it is, the outcome is one `Package`, which `quietframe.inference.runner.Runner` runs. Every file for which the
description gives a checksum is checked.

References
----------
bioimage.io model description, format 0.4 and 0.5.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .archive import Archive, open_archive, relative_name
from .description import declared_files, onnx_source, parse_yaml, read_tensors
from .onnx_header import Header, read_header
from .processing import Step

OWN_AXES = {"NCYX": 2, "NCZYX": 3}
"""Axes of Quietframe's networks, and for how many of them a size is given."""

PREFIX = "quietframe."
"""Prefix of the string properties in an ONNX file of Quietframe."""

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
"""Names of a description, the first that is there counts."""

RECORD = "quietframe.json"
"""Settings, data statistics and provenance in a package of Quietframe."""


@dataclass(frozen=True)
class Package:
    """A model that can be run.

    Parameters
    ----------
    path
        Where it was read from.
    name
        What people call it.
    kind
        Who made it: Quietframe, another bioimage.io author, or unknown (a bare ONNX file of others).
    model
        The ONNX file.
    sha256
        Checksum of the ONNX file, hexadecimal.
    header
        Versions and string properties of the ONNX file.
    axes, output_axes
        Letters over NCTZYX, in the order of the network's tensors.
    size
        Height and width (depth, height and width) in pixels where the network takes only one size, else None.
    minimum, step, halo
        Smallest size, grid of the tiles and context per side, pixels, one number per axis of `space`.
    any_size
        Whether the network itself pads every size from `minimum` on; otherwise only ``minimum + n * step`` runs.
    preprocessing, postprocessing
        Steps around the network; none in Quietframe's own.
    statistics
        Of the training data [counts]: mean, std, p01, p50, p999, min, max; empty when unknown.
    description, record
        The whole ``rdf.yaml`` and ``quietframe.json``.
    files
        Declared files that are there -> sha256, checked.
    missing
        Declared files that are not there.
    """

    path: Path
    name: str
    kind: Literal["quietframe", "bioimage.io", "onnx"]
    model: bytes
    sha256: str
    header: Header
    axes: str = "NCYX"
    output_axes: str = "NCYX"
    size: tuple[int, ...] | None = None
    minimum: tuple[int, ...] = (1, 1)
    step: tuple[int, ...] = (1, 1)
    halo: tuple[int, ...] = (0, 0)
    any_size: bool = False
    preprocessing: tuple[Step, ...] = ()
    postprocessing: tuple[Step, ...] = ()
    statistics: Mapping[str, float] = field(default_factory=dict)
    description: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def space(self) -> str:
        """Axes of the pictures that the network takes: YX or ZYX."""
        return "ZYX" if "Z" in self.axes else "YX"

    def own(self, key: str) -> str:
        """Return a property that Quietframe wrote into the ONNX file, e.g. ``own("unit")``; empty when absent."""
        return self.header.properties.get(PREFIX + key, "")


def read_package(path: str | os.PathLike[str]) -> Package:
    """Read a model package.

    Parameters
    ----------
    path
        A ``.zip``, its unzipped folder, the description inside a folder (``.yaml``), or an ``.onnx`` file.

    Raises
    ------
    InputError
        When it is none of these, a file does not have the checksum that is declared for it, it points outside of
        itself or promises absurd sizes, or needs what is not supported.
    MissingExtraError
        When PyYAML is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; give a model package (.zip), its folder, or an .onnx file")
    if path.is_file() and path.suffix.lower() == ".onnx":
        return _bare(path)
    archive, name = _find_description(path)
    where = f"{path}: {name}"
    description = parse_yaml(archive.read(name), where)
    files, missing = _check_files(archive, declared_files(description))
    source = relative_name(onnx_source(description, where), path)
    model = archive.read(source)
    header = read_header(model, f"{path}: {source}")
    record = _read_record(archive)
    own = PREFIX + "axes" in header.properties
    tensors = read_tensors(description, where)
    return Package(
        path=path,
        name=str(description.get("name", path.stem)),
        kind="quietframe" if own else "bioimage.io",
        model=model,
        sha256=hashlib.sha256(model).hexdigest(),
        header=header,
        size=tensors.size,
        preprocessing=tensors.preprocessing,
        postprocessing=tensors.postprocessing,
        statistics=_numbers(record.get("statistics")),
        description=description,
        record=record,
        files=files,
        missing=missing,
        **(_own_sizes(header, path) if own else tensors.sizes()),
    )


def read_array(package: Package, name: str) -> NDArray[np.generic]:
    """Return an ``.npy`` file of a package, e.g. ``test_input.npy``.

    Raises
    ------
    InputError
        When it is not there or no array.
    """
    data = read_file(package, name)
    try:
        array: NDArray[np.generic] = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{package.path}: {name} is no .npy array ({error})") from error
    return array


def read_file(package: Package, name: str) -> bytes:
    """Return the content of a file of a package.

    Raises
    ------
    InputError
        When it is not there.
    """
    if package.path.suffix.lower() == ".onnx":
        raise InputError(f"{package.path} is a bare ONNX file; it has no {name}; give the complete package (.zip)")
    archive = open_archive(package.path.parent if _is_yaml(package.path) else package.path)
    return archive.read(relative_name(name, package.path))


def _bare(path: Path) -> Package:
    try:
        model = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a readable .onnx file") from error
    header = read_header(model, str(path))
    own = PREFIX + "axes" in header.properties
    return Package(
        path=path,
        name=path.stem,
        kind="quietframe" if own else "onnx",
        model=model,
        sha256=hashlib.sha256(model).hexdigest(),
        header=header,
        **(_own_sizes(header, path) if own else {}),
    )


def _own_sizes(header: Header, path: Path) -> dict[str, Any]:
    """Read the axes and sizes from the properties of a network of Quietframe."""
    axes = header.properties[PREFIX + "axes"]
    if axes not in OWN_AXES:
        raise InputError(
            f"{path}: axes {axes!r} are not run by this version of Quietframe; {' and '.join(OWN_AXES)} are"
        )
    values: dict[str, Any] = {"axes": axes, "output_axes": axes, "any_size": True}
    for name, key, least in (("minimum", "min", 1), ("step", "step", 1), ("halo", "halo", 0)):
        text = header.properties.get(PREFIX + key, "")
        numbers = _whole_numbers(text, OWN_AXES[axes])
        if numbers is None or min(numbers) < least:
            form = "a whole number" if axes == "NCYX" else "three whole numbers (z,y,x)"
            raise InputError(f"{path}: property {PREFIX}{key} must be {form} >= {least}; it is {text!r}")
        values[name] = numbers
    return values


def _whole_numbers(text: str, count: int) -> tuple[int, ...] | None:
    """Read "28" (of a plane: y and x) or "12,28,28" (of a volume: z, y, x)."""
    parts = text.split(",")
    if len(parts) != (1 if count == 2 else count) or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return tuple(int(part) for part in parts) * (count // len(parts))


def _is_yaml(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in {".yaml", ".yml"}


def _find_description(path: Path) -> tuple[Archive, str]:
    if _is_yaml(path):
        return open_archive(path.parent), path.name
    archive = open_archive(path)
    for name in DESCRIPTIONS:
        if name in archive:
            return archive, name
    held = ", ".join(sorted(archive.sizes)[:8]) or "nothing"
    raise InputError(f"{path} is no model package: it holds no {DESCRIPTIONS[0]}, but {held}; give what `train` wrote")


def _check_files(archive: Archive, declared: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Compare every declared file that is there with its checksum."""
    files: dict[str, str] = {}
    missing: list[str] = []
    for source, expected in declared.items():
        name = relative_name(source, archive.path)
        if name not in archive:
            missing.append(name)
            continue
        found = archive.sha256(name)
        if found != expected:
            raise InputError(
                f"{archive.path}: {name} has sha256 {found}, but {expected} is declared; "
                "it is damaged or was changed; fetch or export the package again"
            )
        files[name] = found
    return files, tuple(missing)


def _read_record(archive: Archive) -> dict[str, Any]:
    if RECORD not in archive:
        return {}
    try:
        record = json.loads(archive.read(RECORD))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive.path}: {RECORD} is not JSON ({error})") from error
    return record if isinstance(record, dict) else {}


def _numbers(values: object) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {str(key): float(value) for key, value in values.items() if isinstance(value, int | float)}
