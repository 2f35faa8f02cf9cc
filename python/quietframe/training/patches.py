"""Pictures become patches: cut at random, turned, some held out for validation, normalised.

A picture is a stack of planes, or of volumes, of one size (time and samples, and z where patches are planes, are all
taken as samples). The patches of step `k` depend on the seed and on `k` alone, so a resumed run sees the ones it would
have seen, and each of several processes can cut its share of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .grid import Brightness, Grid
from .pictures import Pictures, collect, size_of
from .stacks import Stack
from .statistics import DataStatistics, NoiseLevel, Statistics, measure, noise_terms

__all__ = [
    "Batch",
    "DataStatistics",
    "NoiseLevel",
    "Pictures",
    "Sampler",
    "Statistics",
    "collect",
    "measure",
    "noise_terms",
    "normalise",
]

Patches = NDArray[np.float32]
ALL = slice(None)
MOST_PARTNERS = 16
"""Of so many repeats at most the target is the mean."""
MOST_FREE = 2**16
"""Places of the grid among which one is taken where chance finds none beside those held out."""
TRIES = 50
"""Times a patch is drawn anew where it touches a held-out one."""


@dataclass(frozen=True)
class Batch:
    """What a method's loss gets.

    Parameters
    ----------
    source
        Normalised input (N, C, Y, X) or (N, C, Z, Y, X), float32.
    target
        Normalised target, None for methods that need none.
    generator
        Randomness of this step, on the CPU.
    stats
        What undoes the normalisation.
    """

    source: Tensor
    target: Tensor | None
    generator: torch.Generator
    stats: DataStatistics


def normalise(patches: Patches, channels: Sequence[Statistics]) -> Patches:
    """Subtract each channel's center and divide by its scale.

    Parameters
    ----------
    patches
        (N, C, Y, X) or (N, C, Z, Y, X) [counts].
    channels
        Statistics of each of the C channels.
    """
    shape = (1, -1, *(1,) * (patches.ndim - 2))
    center = np.array([channel.center for channel in channels], np.float32).reshape(shape)
    scale = np.array([channel.scale for channel in channels], np.float32).reshape(shape)
    normal: Patches = (patches - center) / scale
    return normal


class Sampler:
    """Cut patches out of pictures, at random but repeatably.

    Parameters
    ----------
    pictures
        Checked training data.
    patch
        Size of a patch [px]: a number for squares (Y and X), or one per spatial axis: (Y, X) or (Z, Y, X), where Y and
        X are the same because patches are turned.
    batch_size
        Patches per batch.
    validation_percent
        Share of the grid of patches that is held out [%]; at most two batches of them, at least one patch where there
        are 8 or more, none where there are fewer.
    seed
        Seed.
    foreground
        Share of the patches, 0 to 1, that is drawn by brightness.

    Raises
    ------
    InputError
        When a picture is smaller than a patch.
    """

    def __init__(
        self,
        pictures: Pictures,
        patch: int | Sequence[int],
        batch_size: int,
        validation_percent: float,
        seed: int,
        foreground: float = 0.0,
    ) -> None:
        self.pictures, self.batch_size, self.seed, self.foreground = pictures, batch_size, seed, foreground
        self.patch = (patch, patch) if isinstance(patch, int) else tuple(patch)
        _check_sizes(pictures, self.patch)
        self._grid = Grid(pictures, self.patch)
        total = len(self._grid)
        wanted = round(total * validation_percent / 100)
        wanted = min(max(wanted, 1), 2 * batch_size) if validation_percent > 0 and total >= 8 else 0
        self._held = np.sort(np.random.default_rng([seed, 0]).choice(total, wanted, replace=False, shuffle=False))
        self.held_out = self._grid.corners(self._held)
        shapes = [(stack.shape[0], *stack.shape[2:]) for stack in pictures.sources]
        self._places = np.array([[n, *np.subtract(size, self.patch) + 1] for n, *size in shapes])
        # every place of a patch is equally likely, whichever picture it lies in; of repeats every place of a scene is,
        # however many there are of it, or an exposure's few long differences would hardly be seen beside the short ones
        places = np.prod(self._places[:, 1 if pictures.partners else 0 :].astype(float), axis=1)
        self._chance = np.cumsum(places) / places.sum()
        self._cells = Grid(pictures, [max(1, size // 2) for size in self.patch])
        self._bright = Brightness.of(self._cells) if foreground > 0 else None
        self.notes = () if self._bright is None else self._bright.notes

    def batch(self, step: int, share: slice = ALL) -> tuple[Patches, Patches | None]:
        """Return the patches of step `step`: sources and targets (N, C, (Z,) Y, X) [counts], flipped and turned.

        Parameters
        ----------
        step
            Number of the step.
        share
            The part of the batch to cut, where several processes share it.
        """
        rng = np.random.default_rng([self.seed, 1, step])
        corners = self._corners(rng)
        turns = rng.integers(16, size=self.batch_size)
        partners = self._partners(corners, rng)
        return self._cut(corners[share], turns[share], partners[share])

    def validation(self) -> Iterator[tuple[Patches, Patches | None]]:
        """Return the held-out patches in batches, always the same."""
        partners = self._partners(self.held_out, np.random.default_rng([self.seed, 3]))
        for start in range(0, len(self.held_out), self.batch_size):
            part = slice(start, start + self.batch_size)
            corners = self.held_out[part]
            yield self._cut(corners, np.zeros(len(corners), int), partners[part])

    def _corners(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw picture, member and corner of patches that touch no held-out one, one row per patch."""
        bright = rng.random(self.batch_size) < self.foreground
        corners = self._draw(rng, bright)
        for _ in range(TRIES):
            wrong = np.flatnonzero(self._touches(corners))
            if not wrong.size:
                return corners
            corners[wrong] = self._draw(rng, bright[wrong])
        wrong = np.flatnonzero(self._touches(corners))  # so much held out that chance fails: places of the grid
        free = np.delete(np.arange(min(len(self._grid), MOST_FREE)), self._held[self._held < MOST_FREE])
        corners[wrong] = self._grid.corners(rng.choice(free, wrong.size))
        return corners

    def _draw(self, rng: np.random.Generator, bright: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Draw places, where `bright` by brightness, else anywhere."""
        picture = np.searchsorted(self._chance, rng.random(len(bright)), side="right")
        places = self._places[picture]
        corners = np.column_stack([picture, (rng.random(places.shape) * places).astype(np.intp)])
        if self._bright is not None and bright.any():
            cells = self._cells.corners(self._bright.draw(rng, int(bright.sum())))
            # the cell, half a patch, may lie anywhere in the patch
            room = np.subtract(self.patch, self._cells.patch) + 1
            cells[:, 2:] -= (rng.random((len(cells), len(self.patch))) * room).astype(np.intp)
            cells[:, 2:] = cells[:, 2:].clip(0, self._places[cells[:, 0], 1:] - 1)
            corners[bright] = cells
        return corners

    def _touches(self, corners: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which patches share a pixel with a held-out one; of partners, with one of the same scene."""
        apart = np.abs(corners[:, np.newaxis] - self.held_out)
        limits = [1, np.iinfo(np.intp).max if self.pictures.partners else 1, *self.patch]
        touching: NDArray[np.bool_] = (apart < limits).all(axis=2).any(axis=1)
        return touching

    def _partners(self, corners: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw other members of the same stack for each patch: (patches, up to `MOST_PARTNERS`), -1 for none.

        The mean of independent repeats is as good a target as one of them (its expectation is the same) but less noisy;
        half of them are drawn, so that the target of a place is never twice the same where there are many.
        """
        members = self._places[corners[:, 0], 0]
        wanted = (members // 2).clip(1, MOST_PARTNERS)
        order = rng.random((len(corners), int(members.max(initial=1))))
        numbers = np.arange(order.shape[1])
        order[(numbers >= members[:, np.newaxis]) | (numbers == corners[:, 1:2])] = np.inf
        drawn = order.argsort(axis=1)[:, :MOST_PARTNERS]
        chosen: NDArray[np.intp] = np.where(np.arange(drawn.shape[1]) < wanted[:, np.newaxis], drawn, -1)
        return chosen

    def _cut(
        self, corners: NDArray[np.intp], turns: NDArray[np.integer], partners: NDArray[np.intp]
    ) -> tuple[Patches, Patches | None]:
        def cut(stacks: tuple[Stack, ...], members: NDArray[np.intp]) -> Patches:
            patches = np.zeros((len(corners), stacks[0].shape[1], *self.patch), np.float32)
            rows = zip(corners.tolist(), members.tolist(), turns.tolist(), strict=True)
            for index, ((picture, _, *corner), drawn, turn) in enumerate(rows):
                region = tuple(slice(a, a + size) for a, size in zip(corner, self.patch, strict=True))
                used = [member for member in drawn if member >= 0]
                for member in used:
                    patches[index] += _turned(stacks[picture][(member, ALL, *region)], turn)
                if len(used) > 1:
                    patches[index] /= len(used)
            return patches

        targets, members = self.pictures.targets, corners[:, 1:2]
        if self.pictures.partners and targets is None:
            return cut(self.pictures.sources, members), cut(self.pictures.sources, partners)
        return cut(self.pictures.sources, members), None if targets is None else cut(targets, members)


def _turned(patch: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Turn a patch (C, (Z,) Y, X) by quarters in YX, mirror it in Y from 4 on, and a volume in Z too from 8 on."""
    if turn % 8 >= 4:
        patch = patch[..., ::-1, :]
    if turn >= 8 and patch.ndim == 4:
        patch = patch[:, ::-1]
    return np.rot90(patch, turn % 4, axes=(-2, -1))


def _check_sizes(pictures: Pictures, patch: tuple[int, ...]) -> None:
    for name, stack in zip(pictures.names, pictures.sources, strict=True):
        if pictures.dims != len(patch):
            raise InputError(f"patches of {len(patch)} axes need pictures with as many; {name} is {size_of(stack)}")
        if pictures.dims == 3 and stack.shape[2] < patch[0]:
            deepest = min(other.shape[2] for other in pictures.sources)
            raise InputError(f"{name} is {size_of(stack)}, less than a patch of {patch[0]}; give --patch-z {deepest}")
        if min(stack.shape[-2:]) < patch[-1]:
            smallest = min(min(other.shape[-2:]) for other in pictures.sources)
            advice = f"give --patch-px {smallest // 8 * 8} or less" if smallest >= 16 else "leave it out"
            raise InputError(f"{name} is {size_of(stack)}, smaller than a patch of {patch[-1]} px; {advice}")
