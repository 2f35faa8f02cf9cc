"""Read the files of a package, a zip or a folder, without unpacking and without trusting it.

Nothing is written to disk. A zip whose entries point outside of it, are encrypted, or promise absurd sizes is refused
as a whole.
"""

from __future__ import annotations

import hashlib
import posixpath
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

MAX_ENTRIES = 10_000
MAX_BYTES = 4 * 1024**3
"""Largest package, unpacked: 4 GiB."""
MAX_RATIO = 1000
"""Above this compression an entry larger than `FREE_BYTES` is taken for a zip bomb (deflate cannot exceed 1032)."""
FREE_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Archive:
    """The files of a package.

    Parameters
    ----------
    path
        The zip or the folder.
    sizes
        Name of each file -> its size in bytes.
    """

    path: Path
    sizes: Mapping[str, int]

    def __contains__(self, name: object) -> bool:
        return name in self.sizes

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        InputError
            When it is not there or damaged.
        """
        if name not in self.sizes:
            raise InputError(f"{self.path} does not hold {name}; it holds {_listing(self.sizes)}")
        if self.sizes[name] > MAX_BYTES:
            raise InputError(f"{self.path}: {name} has {self.sizes[name]} bytes; at most {MAX_BYTES} are read")
        try:
            if self.path.is_dir():
                return (self.path / name).read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise InputError(f"{self.path}: {name} is damaged ({error}); fetch the package again") from error

    def sha256(self, name: str) -> str:
        """Return the checksum of a file, in hexadecimal."""
        return hashlib.sha256(self.read(name)).hexdigest()


def open_archive(path: Path) -> Archive:
    """List the files of a zip or a folder.

    Raises
    ------
    InputError
        When there is neither, or the zip is damaged or hostile.
    """
    if path.is_dir():
        return Archive(path, {file.name: file.stat().st_size for file in sorted(path.iterdir()) if file.is_file()})
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a model package (.zip), its folder, or an .onnx file") from None
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(f"{path} is no model package: {error}; give a .zip, its folder, or an .onnx file") from error
    _refuse_hostile(path, entries)
    return Archive(path, {entry.filename: entry.file_size for entry in entries if not entry.is_dir()})


def relative_name(source: str, path: Path) -> str:
    """Return a file's name inside a package as its archive lists it.

    Raises
    ------
    InputError
        When it points outside.
    """
    if _points_outside(source):
        raise InputError(f"{path}: the name {source!r} points outside of the package; it is not read")
    return posixpath.normpath(source)


def _refuse_hostile(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{path} holds {len(entries)} files; a model package has at most {MAX_ENTRIES}")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        raise InputError(f"{path} would unpack to {total} bytes; a model package has at most {MAX_BYTES}")
    for entry in entries:
        if _points_outside(entry.filename):
            raise InputError(f"{path}: the name {entry.filename!r} points outside of the package; it is not read")
        if entry.flag_bits & 1:
            raise InputError(f"{path}: {entry.filename} is encrypted; give a package without a password")
        if entry.file_size > max(FREE_BYTES, MAX_RATIO * entry.compress_size):
            raise InputError(
                f"{path}: {entry.filename} would unpack from {entry.compress_size} to {entry.file_size} bytes; "
                "that is no model; it is not read"
            )


def _points_outside(name: str) -> bool:
    return not name or "\\" in name or "\0" in name or name.startswith("/") or ":" in name or ".." in name.split("/")


def _listing(names: Mapping[str, int], most: int = 8) -> str:
    shown = sorted(names)[:most]
    return (", ".join(shown) + (", …" if len(names) > most else "")) or "nothing"
