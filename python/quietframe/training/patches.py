"""Pictures become patches: checked once, measured once, cut at random, some held out for validation.

A picture is a plane YX or a stack of planes of one size (time, z and samples are all taken as samples). The patches of
step `k` depend on the seed and on `k` alone, so a resumed run sees the ones it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError

PERCENTILE_PIXELS = 2**22
"""Percentiles come from at most about this many evenly spread pixels."""


@dataclass(frozen=True)
class Statistics:
    """Distribution of the pixels of all pictures [counts].

    Parameters
    ----------
    mean, std
        Mean and standard deviation.
    p01, p50, p999
        1st, 50th and 99.9th percentile.
    min, max
        Range.
    center, scale
        Mean and standard deviation after clipping to p01...p999: the normalisation, which a few hot or dead pixels
        must not spoil.
    """

    mean: float
    std: float
    p01: float
    p50: float
    p999: float
    min: float
    max: float
    center: float
    scale: float


@dataclass(frozen=True)
class DataStatistics:
    """Statistics of what goes into the net and of what it shall give (the same where there is no target)."""

    source: Statistics
    target: Statistics

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: the source's statistics, the target's under ``target`` where they differ."""
        plain: dict[str, Any] = asdict(self.source)
        return plain if self.target == self.source else {**plain, "target": asdict(self.target)}


@dataclass(frozen=True)
class Pictures:
    """Checked training data; make it with `collect`.

    Parameters
    ----------
    names
        One name per picture, for messages.
    sources
        Arrays (N, Y, X) in the type they were stored in.
    targets
        Arrays of the same shapes, None for methods that need none.
    notes
        What is odd about the data but no error, in sentences.
    """

    names: tuple[str, ...]
    sources: tuple[NDArray[Any], ...]
    targets: tuple[NDArray[Any], ...] | None = None
    notes: tuple[str, ...] = ()

    def statistics(self) -> DataStatistics:
        """Measure sources and targets, plane by plane."""
        source = measure(self.sources)
        return DataStatistics(source, source if self.targets is None else measure(self.targets))

    def sample(self, size: int = 128) -> NDArray[np.float32]:
        """Return the middle of the middle plane of the first picture, at most `size` x `size` px, axes YX."""
        plane = self.sources[0][self.sources[0].shape[0] // 2]
        top, left = (max(0, (length - size) // 2) for length in plane.shape)
        return np.ascontiguousarray(plane[top : top + size, left : left + size], dtype=np.float32)


@dataclass(frozen=True)
class Batch:
    """What a method's loss gets.

    Parameters
    ----------
    source
        Normalised input (N, 1, Y, X), float32.
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


def collect(
    sources: Sequence[NDArray[Any]],
    names: Sequence[str],
    targets: Sequence[NDArray[Any]] | None = None,
    target_names: Sequence[str] | None = None,
) -> Pictures:
    """Check training pictures and put them together.

    Parameters
    ----------
    sources
        Arrays YX or NYX, real numbers [counts].
    names
        One name per picture, for messages.
    targets, target_names
        For methods that learn from pairs: one target per picture, of the same shape.

    Raises
    ------
    InputError
        When a picture is empty, not a plane or stack, not finite or constant, a target is all zero, or shapes or
        numbers of a pair differ.
    """
    if not sources:
        raise InputError("no picture to train on; give at least one file")
    stacks = tuple(_checked(array, name) for array, name in zip(sources, names, strict=True))
    if targets is None:
        return Pictures(tuple(names), stacks)
    target_names = target_names or [f"target of {name}" for name in names]
    if len(targets) != len(stacks):
        raise InputError(f"{len(stacks)} pictures but {len(targets)} targets; give one --target per picture, in order")
    answers = tuple(_checked(array, name, target=True) for array, name in zip(targets, target_names, strict=True))
    notes = []
    for name, source, target_name, target in zip(names, stacks, target_names, answers, strict=True):
        if source.shape != target.shape:
            raise InputError(
                f"a pair differs in shape: {name} is {_size(source)}, {target_name} is {_size(target)}; "
                "crop or align them first"
            )
        if np.array_equal(source, target):
            notes.append(f"{target_name} is the same picture as {name}: the net learns to change nothing")
    return Pictures(tuple(names), stacks, answers, tuple(notes))


def _checked(array: NDArray[Any], name: str, *, target: bool = False) -> NDArray[Any]:
    """Return the picture as a stack (N, Y, X), or say what is wrong with it."""
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}; training takes a plane (Y, X) or a stack (N, Y, X)")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype}; training takes integers or floating-point numbers")
    stack = array[np.newaxis] if array.ndim == 2 else array
    if stack.dtype.kind == "b":
        stack = stack.astype(np.uint8)
    if stack.dtype.kind == "f":
        bad = sum(int(plane.size - np.isfinite(plane).sum()) for plane in stack)
        if bad:
            raise InputError(f"{name} holds {bad} pixels that are NaN or infinite; replace them first")
    low, high = stack.min(), stack.max()
    if low == high:
        if target and low == 0:
            raise InputError(f"the target {name} is zero everywhere; there is nothing to learn from it")
        raise InputError(f"{name} is constant (every pixel is {low:g}); there is nothing to learn from it")
    return stack


def _size(stack: NDArray[Any]) -> str:
    planes, height, width = stack.shape
    return f"{height} x {width} px" + (f" x {planes} planes" if planes > 1 else "")


def measure(stacks: Sequence[NDArray[Any]]) -> Statistics:
    """Measure the pixels of all stacks, one plane in memory at a time.

    Parameters
    ----------
    stacks
        Arrays (N, Y, X) [counts].

    Notes
    -----
    Means and variances of planes are merged in float64 (Chan, Golub & LeVeque 1983, eq. 2.1), which stays exact for a
    small variance on a large offset. Percentiles, center and scale come from `PERCENTILE_PIXELS` evenly spread pixels.
    """
    count, mean, squares, low, high = 0, 0.0, 0.0, np.inf, -np.inf
    every = max(1, sum(stack.size for stack in stacks) // PERCENTILE_PIXELS)
    spread = []
    for stack in stacks:
        for plane in stack:
            values = plane.astype(np.float64).ravel()
            shift = values.mean() - mean
            squares += values.var() * values.size + shift**2 * count * values.size / (count + values.size)
            count += values.size
            mean += shift * values.size / count
            low, high = min(low, values.min()), max(high, values.max())
            spread.append(values[count % every :: every])
    pixels = np.concatenate(spread)
    p01, p50, p999 = (float(value) for value in np.percentile(pixels, [1, 50, 99.9]))
    std = float(np.sqrt(squares / count))
    clipped = np.clip(pixels, p01, p999)
    center, scale = float(clipped.mean()), float(clipped.std())
    if scale <= 1e-3 * std:  # nearly all pixels are equal: the few others are the picture
        center, scale = float(mean), std
    return Statistics(float(mean), std, p01, p50, p999, float(low), float(high), center, scale)


class Sampler:
    """Cut patches out of pictures, at random but repeatably.

    Parameters
    ----------
    pictures
        Checked training data.
    patch_px
        Height and width of a patch [px].
    batch_size
        Patches per batch.
    validation_percent
        Share of the grid of patches that is held out [%]; at most two batches of them, at least one patch where there
        are 8 or more, none where there are fewer.
    seed
        Seed.

    Raises
    ------
    InputError
        When a picture is smaller than a patch.
    """

    def __init__(
        self, pictures: Pictures, patch_px: int, batch_size: int, validation_percent: float, seed: int
    ) -> None:
        self.pictures, self.patch, self.batch_size, self.seed = pictures, patch_px, batch_size, seed
        for name, stack in zip(pictures.names, pictures.sources, strict=True):
            if min(stack.shape[1:]) < patch_px:
                smallest = min(min(other.shape[1:]) for other in pictures.sources)
                advice = f"give --patch-px {smallest // 8 * 8} or less" if smallest >= 16 else "leave it out"
                raise InputError(f"{name} is {_size(stack)}, smaller than a patch of {patch_px} px; {advice}")
        grid = [
            (picture, plane, y, x)
            for picture, stack in enumerate(pictures.sources)
            for plane in range(stack.shape[0])
            for y in range(0, stack.shape[1] - patch_px + 1, patch_px)
            for x in range(0, stack.shape[2] - patch_px + 1, patch_px)
        ]
        wanted = round(len(grid) * validation_percent / 100)
        wanted = min(max(wanted, 1), 2 * batch_size) if validation_percent > 0 and len(grid) >= 8 else 0
        chosen = set(np.random.default_rng([seed, 0]).permutation(len(grid))[:wanted].tolist())
        self.held_out = [corner for index, corner in enumerate(grid) if index in chosen]
        self._free = [corner for index, corner in enumerate(grid) if index not in chosen]
        # every place of a patch is equally likely, whichever picture it lies in
        places = [float(np.prod([n - patch_px + 1 for n in s.shape[1:]])) * s.shape[0] for s in pictures.sources]
        self._chance = np.array(places) / sum(places)

    def batch(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the patches of step `step`: sources and targets (N, 1, Y, X) [counts], flipped and turned."""
        rng = np.random.default_rng([self.seed, 1, step])
        corners = [self._corner(rng) for _ in range(self.batch_size)]
        turns = rng.integers(8, size=self.batch_size).tolist()
        return self._cut(corners, turns)

    def validation(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Return the held-out patches in batches, always the same."""
        for start in range(0, len(self.held_out), self.batch_size):
            corners = self.held_out[start : start + self.batch_size]
            yield self._cut(corners, [0] * len(corners))

    def _corner(self, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Draw picture, plane, y and x of a patch that touches no held-out one."""
        for _ in range(50):
            picture = int(rng.choice(len(self._chance), p=self._chance))
            planes, height, width = self.pictures.sources[picture].shape
            plane = int(rng.integers(planes))
            y, x = int(rng.integers(height - self.patch + 1)), int(rng.integers(width - self.patch + 1))
            if not any(
                (picture, plane) == (p, n) and abs(y - v) < self.patch and abs(x - u) < self.patch
                for p, n, v, u in self.held_out
            ):
                return picture, plane, y, x
        return self._free[int(rng.integers(len(self._free)))]  # so much held out that chance fails: a place of the grid

    def _cut(
        self, corners: Sequence[tuple[int, int, int, int]], turns: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        def cut(stacks: tuple[NDArray[Any], ...]) -> NDArray[np.float32]:
            patches = np.empty((len(corners), 1, self.patch, self.patch), np.float32)
            for index, ((picture, plane, y, x), turn) in enumerate(zip(corners, turns, strict=True)):
                patch = stacks[picture][plane, y : y + self.patch, x : x + self.patch]
                patches[index, 0] = np.rot90(patch[::-1] if turn >= 4 else patch, turn % 4)
            return patches

        targets = self.pictures.targets
        return cut(self.pictures.sources), None if targets is None else cut(targets)
