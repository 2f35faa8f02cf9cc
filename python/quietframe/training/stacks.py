"""Training data in memory or on disk behind one way to ask for it: a shape, a type, and regions by index."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..images import ImageReader, open_image

CACHE_BYTES = 96 * 2**20
"""Decoded parts of compressed files that are kept [bytes], for all files together."""

OPEN_FILES = 128
"""Files that are open at a time."""


class Stack(Protocol):
    """An array, or what can be asked like one without being in memory.

    Shape (N, C, Y, X) or (N, C, Z, Y, X); an index is a tuple of integers and of slices without a step, as long as the
    shape or shorter.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        """Return a region as an array."""


@dataclass
class Files:
    """Image files that are read when asked for: a bounded number open, a bounded part of them decoded in memory."""

    readers: OrderedDict[Path, ImageReader] = field(default_factory=OrderedDict)
    blocks: OrderedDict[tuple[Path, int, int, int], NDArray[Any]] = field(default_factory=OrderedDict)
    held: int = 0

    def __post_init__(self) -> None:
        # whoever holds the last stack of a file does not know of it: its files are closed when nobody is left
        weakref.finalize(self, _close, self.readers)

    def reader(self, path: Path) -> ImageReader:
        """Return the open file."""
        if path not in self.readers:
            if len(self.readers) >= OPEN_FILES:
                self.readers.popitem(last=False)[1].close()
            self.readers[path] = open_image(path)
        self.readers.move_to_end(path)
        return self.readers[path]

    def block(self, path: Path, plane: int, top: int, left: int) -> NDArray[Any]:
        """Return the block of a plane whose upper left corner is at (top, left)."""
        key = (path, plane, top, left)
        if key not in self.blocks:
            reader = self.reader(path)
            height, width = reader.block
            block = reader.region(plane, slice(top, top + height), slice(left, left + width))
            self.blocks[key] = block
            self.held += block.nbytes
            while self.held > CACHE_BYTES and len(self.blocks) > 1:
                self.held -= self.blocks.popitem(last=False)[1].nbytes
        self.blocks.move_to_end(key)
        return self.blocks[key]

    def close(self) -> None:
        """Close all files and let go of what was kept."""
        _close(self.readers)
        self.blocks.clear()
        self.held = 0


def _close(readers: OrderedDict[Path, ImageReader]) -> None:
    for reader in readers.values():
        reader.close()
    readers.clear()


class FileStack:
    """Planes of a file as a stack; a region is read from the file when it is asked for.

    Parameters
    ----------
    files
        What reads them.
    path
        The file.
    planes
        Number of the plane in the file, of shape (N, C) or (N, C, Z).
    """

    def __init__(self, files: Files, path: Path, planes: NDArray[np.intp]) -> None:
        reader = files.reader(path)
        self._files, self._path, self._planes = files, path, planes
        self.shape: tuple[int, ...] = (*planes.shape, *reader.shape[-2:])
        self.dtype: np.dtype[Any] = np.dtype(reader.dtype)

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        wanted: list[Any] = list(index) if isinstance(index, tuple) else [index]
        wanted += [slice(None)] * (len(self.shape) - len(wanted))
        planes = np.asarray(self._planes[tuple(wanted[:-2])])
        rows, columns = wanted[-2:]
        top, bottom, _ = rows.indices(self.shape[-2])
        left, right, _ = columns.indices(self.shape[-1])
        out = np.empty((planes.size, bottom - top, right - left), self.dtype)
        self._fill(out, planes.ravel().tolist(), (top, bottom, left, right))
        return out.reshape(*planes.shape, *out.shape[1:])

    def _fill(self, out: NDArray[Any], planes: Sequence[int], box: tuple[int, int, int, int]) -> None:
        """Read a box (top, bottom, left, right) of some planes, block by block, all planes of a block together."""
        top, bottom, left, right = box
        reader = self._files.reader(self._path)
        height, width = reader.block
        if height == 1 or (bottom - top, right - left) == self.shape[-2:]:  # any rows, or whole planes: nothing to keep
            for position, plane in enumerate(planes):
                out[position] = reader.region(plane, slice(top, bottom), slice(left, right))
            return
        for y in range(top - top % height, bottom, height):
            for x in range(left - left % width, right, width):
                a, b, c, d = max(top, y), min(bottom, y + height), max(left, x), min(right, x + width)
                for position, plane in enumerate(planes):
                    block = self._files.block(self._path, plane, y, x)
                    out[position, a - top : b - top, c - left : d - left] = block[a - y : b - y, c - x : d - x]


class Members:
    """Members of several stacks of one size as one stack.

    Parameters
    ----------
    parts
        Stack and number of the member in it, one for each member.
    """

    def __init__(self, parts: Sequence[tuple[Stack, int]]) -> None:
        self._parts = list(parts)
        stacks = [stack for stack, _ in self._parts]
        self.shape: tuple[int, ...] = (len(stacks), *stacks[0].shape[1:])
        self.dtype: np.dtype[Any] = np.result_type(*{stack.dtype for stack in stacks})

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(first, slice):
            chosen = [self._one(part, rest) for part in self._parts[first]]
            return np.stack(chosen)
        return self._one(self._parts[first], rest)

    def _one(self, part: tuple[Stack, int], rest: Sequence[Any]) -> NDArray[Any]:
        stack, member = part
        return np.asarray(stack[(member, *rest)], self.dtype)
