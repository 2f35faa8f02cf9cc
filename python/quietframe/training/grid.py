"""Places of patches side by side, and how bright the pictures are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pictures import Pictures
from .stacks import Stack

FOREGROUND_SIGMA = 6.0
"""A place is foreground where its mean lies this many standard errors above that of the dark places."""


class Grid:
    """All places of patches side by side, by number, without a list of them.

    Parameters
    ----------
    pictures
        Training data.
    patch
        Size of a patch, one number per spatial axis [px].
    """

    def __init__(self, pictures: Pictures, patch: Sequence[int]) -> None:
        self.pictures, self.patch = pictures, tuple(patch)
        self.counts = [
            (stack.shape[0], *(size // length for size, length in zip(stack.shape[2:], patch, strict=True)))
            for stack in pictures.sources
        ]
        self._ends = np.cumsum([int(np.prod(counts)) for counts in self.counts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def corners(self, numbers: NDArray[np.integer]) -> NDArray[np.intp]:
        """Return picture, member and corner of places, one row each."""
        rows = np.empty((len(numbers), 2 + len(self.patch)), np.intp)
        picture = np.searchsorted(self._ends, numbers, side="right")
        rows[:, 0] = picture
        inside = numbers - np.concatenate([[0], self._ends])[picture]
        counts = np.array(self.counts)[picture]
        for axis in range(counts.shape[1] - 1, -1, -1):
            inside, rows[:, 1 + axis] = np.divmod(inside, counts[:, axis])
        rows[:, 2:] *= self.patch
        return rows


@dataclass(frozen=True)
class Brightness:
    """Chances of the places of a grid, by their brightness above the dark.

    Parameters
    ----------
    chance
        Running sum of the chances, one entry per place.
    notes
        What the user should know.
    """

    chance: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, grid: Grid) -> Brightness:
        """Measure the mean of every place; where none stands out of the noise, all have the same chance."""
        parts = [_cells(stack, grid.patch) for stack in grid.pictures.sources]
        means, spreads = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
        dark = float(np.percentile(means, 25))
        error = float(np.median(spreads[means <= dark])) / float(np.sqrt(np.prod(grid.patch)))
        weights = np.where(means > dark + FOREGROUND_SIGMA * error, means - dark, 0.0)
        if weights.any():
            return cls(np.cumsum(weights) / weights.sum())
        note = (
            "no place of the pictures is brighter than their noise: patches are drawn anywhere, --foreground has no "
            "effect"
        )
        return cls(np.arange(1, len(means) + 1) / len(means), (note,))

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.intp]:
        """Draw places by number."""
        return np.searchsorted(self.chance, rng.random(count), side="right")


def _cells(stack: Stack, patch: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of every place of the grid in a stack, channels together."""
    *deep, height, width = patch
    rows, columns = stack.shape[-2] // height, stack.shape[-1] // width
    depth = deep[0] if deep else 1
    starts = range(0, stack.shape[2] - depth + 1, depth) if deep else range(1)
    means, spreads = [], []
    for member in range(stack.shape[0]):
        for start in starts:
            lead = (member, slice(None), slice(start, start + depth)) if deep else (member, slice(None))
            slab = stack[(*lead, slice(0, rows * height), slice(0, columns * width))].mean(axis=0, dtype=np.float32)
            cells = slab.reshape(depth, rows, height, columns, width)
            mean = cells.mean(axis=(0, 2, 4), keepdims=True, dtype=np.float64)
            cells -= mean.astype(np.float32)
            means.append(mean.ravel())
            spreads.append(np.sqrt(np.einsum("zyjxi,zyjxi->yx", cells, cells).ravel() / np.prod(patch)))
    return np.concatenate(means), np.concatenate(spreads)
