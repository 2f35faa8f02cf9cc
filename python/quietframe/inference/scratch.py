"""Arrays that may be larger than memory: small ones are plain, large ones lie in a file that nobody sees.

The file is in the folder of the output, where there must be room for the result anyway, and goes with the array or with
the process, however that ends.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import OutputError

IN_MEMORY_BYTES = 2**26
"""Arrays up to this size stay in memory: 64 MiB, a float32 plane of 4096 x 4096 pixels."""

_CHUNK = bytes(2**20)


@dataclass(frozen=True)
class Scratch:
    """Makes arrays, in memory or in files of a folder.

    Parameters
    ----------
    folder
        Where files go; None keeps everything in memory.
    """

    folder: Path | None

    def array(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Make an array of zeros; the room on the disk is given back with its last view.

        Raises
        ------
        OutputError
            When there is no room for its file.
        """
        if self.folder is None or not is_large(shape, dtype):
            return np.zeros(tuple(shape), dtype)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            with tempfile.TemporaryFile(dir=self.folder, prefix=".scratch-") as file:
                _reserve(file, size)
                return np.memmap(file, np.dtype(dtype), "r+", shape=tuple(shape))
        except OSError as error:
            raise OutputError(
                f"{self.folder} has no room for {size / 2**30:.1f} GiB of intermediate results ({error.strerror}); "
                "free some, or write to another disk"
            ) from error


def is_large(shape: Sequence[int], dtype: DTypeLike) -> bool:
    """Return whether an array is too large to be kept in memory."""
    return math.prod(shape) * np.dtype(dtype).itemsize > IN_MEMORY_BYTES


def release(array: NDArray[Any]) -> None:
    """Give the memory of an array in a file back; what was written stays in the file."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _reserve(file: Any, size: int) -> None:
    """Take the room on the disk now: a disk that is full later would kill the process without a word."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, len(_CHUNK)):
        file.write(_CHUNK[: size - start])
    file.flush()
