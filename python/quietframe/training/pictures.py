"""Training pictures: checked once, then only asked for regions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .registration import measure_shift
from .stacks import Members, Stack
from .statistics import DataStatistics, NoiseLevel, Running, Statistics, spacing

SHIFTS_MEASURED = 4
"""Pairs whose shift is measured, evenly spread."""

SMALLEST_TO_ALIGN = 32
"""Smaller pictures [px] are not looked at for shifts."""

LARGEST = float(np.finfo(np.float32).max)
"""Largest value [counts]."""

TINY = 1e-30
"""Smallest standard deviation of a picture [counts]; float32 ends at 1e-38."""


@dataclass(frozen=True)
class Pictures:
    """Checked training data; make it with `collect`.

    Parameters
    ----------
    names
        One name per picture, for messages.
    sources
        Stacks (N, C, Y, X), or (N, C, Z, Y, X) for volumes, in the type they were stored in.
    targets
        Stacks of the same shapes but for C, None for methods that need none.
    notes
        What is odd about the data but no error, in sentences.
    partners
        Whether the members (axis N) of a stack show one scene with independent noise: the target of each is then
        another one, or the mean of several others, drawn anew each time (Noise2Noise).
    anisotropy
        Distance of two planes over distance of two pixels.
    noise
        Noise of a source where it is known.
    measured
        How the values are distributed.
    """

    names: tuple[str, ...]
    sources: tuple[Stack, ...]
    targets: tuple[Stack, ...] | None = None
    notes: tuple[str, ...] = ()
    partners: bool = False
    anisotropy: float = 1.0
    noise: NoiseLevel | None = None
    measured: DataStatistics | None = None

    @property
    def dims(self) -> int:
        """Spatial axes: 2 for planes, 3 for volumes."""
        return len(self.sources[0].shape) - 2

    def statistics(self) -> DataStatistics:
        """Return how sources and targets are distributed, as `collect` measured them."""
        if self.measured is None:
            raise ValueError("pictures that were not measured; make them with collect")
        return self.measured

    def sample(self, size: int = 128) -> NDArray[np.float32]:
        """Return the middle of the middle member of the first picture, at most `size` px high and wide.

        Returns
        -------
        ndarray, float32
            Axes YX; with Z in front for volumes, and C in front of both where there are several channels.
        """
        stack = self.sources[0]
        height, width = stack.shape[-2:]
        top, left = (max(0, (length - size) // 2) for length in (height, width))
        region = (slice(top, top + size), slice(left, left + size))
        members = [np.asarray(stack[(stack.shape[0] // 2, c)])[(..., *region)] for c in range(stack.shape[1])]
        crop = np.stack(members) if len(members) > 1 else members[0]
        return np.ascontiguousarray(crop, dtype=np.float32)


@dataclass(frozen=True)
class _Role:
    """Sources or targets: stacks with their names, and what one pass over them found."""

    names: tuple[str, ...]
    stacks: tuple[Stack, ...]
    statistics: tuple[Statistics, ...]
    digests: tuple[tuple[bytes, ...], ...]
    notes: tuple[str, ...]


def collect(
    sources: Sequence[Stack],
    names: Sequence[str],
    targets: Sequence[Stack] | None = None,
    target_names: Sequence[str] | None = None,
    *,
    dims: int = 2,
    partners: bool = False,
    anisotropy: float = 1.0,
    noise: NoiseLevel | None = None,
) -> Pictures:
    """Check training pictures, measure them in the same pass, and put them together.

    Parameters
    ----------
    sources
        Real numbers [counts]: one plane (Y, X), planes (N, Y, X), or planes with channels (N, C, Y, X); the same with
        Z before Y where `dims` is 3.
    names
        One name per picture, for messages.
    targets, target_names
        For methods that learn from pairs: one target per picture, of the same shape but for the channels.
    dims
        Spatial axes, 2 or 3.
    partners, anisotropy, noise
        As in `Pictures`.

    Raises
    ------
    InputError
        When a picture is empty, not a plane or stack, not finite or constant, out of the range of float32, a target is
        all zero, or shapes or numbers of a pair differ or lie far beside each other.
    """
    if not sources:
        raise InputError("no picture to train on; give at least one file")
    if targets is not None and len(targets) != len(sources):
        raise InputError(f"{len(sources)} pictures but {len(targets)} targets; give one --target per picture, in order")
    source = _look(sources, names, dims, compare=partners or targets is not None)
    measured = DataStatistics(source.statistics, source.statistics, dims, noise)
    notes, answers = source.notes, None
    if partners:
        notes += tuple(_check_partners(source))
    if targets is not None:
        target_names = target_names or [f"target of {name}" for name in names]
        target = _look(targets, target_names, dims, compare=True, target=True)
        notes += (*target.notes, *_compare(source, target))
        measured, answers = replace(measured, target=target.statistics), target.stacks
    return Pictures(source.names, source.stacks, answers, notes, partners, anisotropy, noise, measured)


def _look(sources: Sequence[Stack], names: Sequence[str], dims: int, *, compare: bool, target: bool = False) -> _Role:
    """Go once through all stacks: check their values and measure them, channel by channel."""
    stacks = tuple(_as_stack(array, name, dims) for array, name in zip(sources, names, strict=True))
    channels = stacks[0].shape[1]
    for stack, name in zip(stacks, names, strict=True):
        if stack.shape[1] != channels:
            raise InputError(
                f"{names[0]} has {channels} channels and {name} has {stack.shape[1]}; a net takes one number of them"
            )
    every = spacing(int(np.prod(stack.shape)) // channels for stack in stacks)
    totals = [Running(every) for _ in range(channels)]
    digests, notes = [], []
    for stack, name in zip(stacks, names, strict=True):
        running, digest = _scan(stack, name, every, compare)
        constant = _check_range(running, stack.dtype, name, target=target)
        if constant and len(stacks) == 1:
            raise InputError(f"{constant}; there is nothing to learn from it")
        notes += [f"{constant}: its patches teach nothing"] if constant else []
        digests.append(digest)
        for total, part in zip(totals, running, strict=True):
            total.merge(part)
    for number, total in enumerate(totals, 1):
        if total.low == total.high:
            what = "all pictures are constant" if channels == 1 else f"channel {number} is constant in all pictures"
            raise InputError(f"{what} (every pixel is {total.low:g}); there is nothing to learn from it")
    return _Role(tuple(names), stacks, tuple(total.finish() for total in totals), tuple(digests), tuple(notes))


def _as_stack(array: Stack, name: str, dims: int) -> Stack:
    """Return the picture as a stack (N, C, (Z,) Y, X), or say what is wrong with its shape or type."""
    rank = len(array.shape)
    if not dims <= rank <= dims + 2 or 0 in array.shape:
        z = "Z, " if dims == 3 else ""
        raise InputError(
            f"{name} has shape {tuple(array.shape)}; training takes a {'volume' if z else 'plane'} ({z}Y, X), a stack "
            f"(N, {z}Y, X), or one with channels (N, C, {z}Y, X)"
        )
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype}; training takes integers or floating-point numbers")
    if not isinstance(array, np.ndarray):
        if rank != dims + 2:
            raise ValueError(f"a lazy stack needs all axes; {name} has shape {tuple(array.shape)}")
        return array
    stack = array[np.newaxis] if rank == dims else array
    stack = stack[:, np.newaxis] if stack.ndim == dims + 1 else stack
    return stack.astype(np.uint8) if stack.dtype.kind == "b" else stack


def _scan(stack: Stack, name: str, every: int, compare: bool) -> tuple[list[Running], tuple[bytes, ...]]:
    """Measure each channel of a stack; also return a digest of each member where they are to be compared."""
    running = [Running(every) for _ in range(stack.shape[1])]
    digests, bad = [hashlib.blake2b() for _ in range(stack.shape[0])], 0
    for index in np.ndindex(*stack.shape[:-2]):
        plane = stack[index]
        if plane.dtype.kind == "f" and not np.isfinite(plane).all():
            bad += int(plane.size - np.isfinite(plane).sum())
            continue
        if plane.dtype == np.float64 and (largest := float(np.abs(plane).max())) > LARGEST:
            raise InputError(
                f"{name} holds {largest:.3g}, beyond float32 ({LARGEST:.2g}), in which nets compute; rescale it"
            )
        running[index[1]].add(plane)
        if compare:
            with np.errstate(over="ignore"):
                digests[index[0]].update(np.ascontiguousarray(plane, np.float32).data)
    if bad:
        raise InputError(f"{name} holds {bad} pixels that are NaN or infinite; replace them first")
    return running, tuple(digest.digest() for digest in digests)


def _check_range(running: Sequence[Running], dtype: np.dtype[Any], name: str, *, target: bool) -> str:
    """Refuse values that float32 cannot tell apart; return a sentence where all are the same."""
    low, high = min(part.low for part in running), max(part.high for part in running)
    if low == high:
        if target and low == 0:
            raise InputError(f"the target {name} is zero everywhere; there is nothing to learn from it")
        return f"{name} is constant (every pixel is {low:g})"
    largest = max(abs(low), abs(high))
    spread = max(part.std for part in running)
    step = float(np.spacing(np.float32(largest)))
    if dtype.itemsize >= 4 and dtype != np.float32 and step > 0.1 * spread:
        raise InputError(
            f"{name} ({dtype}) holds values up to {largest:.12g} with a standard deviation of {spread:.3g}; float32, "
            f"in which nets compute, has steps of {step:.3g} there: subtract an offset first, or see if they wrapped"
        )
    if spread < TINY:
        raise InputError(f"{name} has a standard deviation of {spread:.3g}, too small for float32; rescale it")
    return ""


def _check_partners(source: _Role) -> list[str]:
    """Refuse stacks without two different members, and say where members lie beside each other."""
    notes = []
    for name, stack, digests in zip(source.names, source.stacks, source.digests, strict=True):
        if stack.shape[0] < 2:
            raise InputError(
                f"{name} is {size_of(stack)}: one picture has no partner; give two or more of the same scene, in one "
                "stack (T) or as --target"
            )
        different = len(set(digests))
        if different == 1:
            raise InputError(f"{name} holds {len(digests)} times the same picture; repeats need noise of their own")
        if different < len(digests):
            notes.append(f"warning: {name} holds {len(digests)} pictures, of which only {different} differ")
    for name, stack in list(zip(source.names, source.stacks, strict=True))[:SHIFTS_MEASURED]:
        first, last = Members([(stack, 0)]), Members([(stack, stack.shape[0] - 1)])
        notes += _beside(first, last, "the last of them", f"the first of {name}", "repeats must not move; align them")
    return notes


def _compare(source: _Role, target: _Role) -> list[str]:
    """Check that targets fit their sources, and say what is odd."""
    notes = []
    pairs = zip(source.stacks, target.stacks, source.names, target.names, strict=True)
    same = [a == b for a, b in zip(source.digests, target.digests, strict=True)]
    for (one, other, name, target_name), equal in zip(pairs, same, strict=True):
        if (one.shape[0], *one.shape[2:]) != (other.shape[0], *other.shape[2:]):
            raise InputError(
                f"a pair differs in shape: {name} is {size_of(one)}, {target_name} is {size_of(other)}; "
                "crop or align them first"
            )
        if equal and one.shape == other.shape:
            notes.append(f"{target_name} is the same picture as {name}: the net learns to change nothing")
    different = [number for number, equal in enumerate(same) if not equal]
    for number in different[:: max(1, len(different) // SHIFTS_MEASURED)]:
        one, other, name = source.stacks[number], target.stacks[number], target.names[number]
        notes += _beside(one, other, name, source.names[number], "a net learns the shift; align them first")
    return notes


def _beside(one: Stack, other: Stack, other_name: str, name: str, advice: str) -> list[str]:
    """Say how far one picture lies beside another; refuse what shows another place."""
    height, width = one.shape[-2:]
    if min(height, width) < SMALLEST_TO_ALIGN:
        return []
    shift = measure_shift(one, other)
    if not shift.is_seen:
        return []
    where = (
        f"{other_name} lies {abs(shift.y):.1f} px {'below' if shift.y > 0 else 'above'} and {abs(shift.x):.1f} px "
        f"{'right' if shift.x > 0 else 'left'} of {name}"
    )
    if shift.length > min(height, width) / 8:
        raise InputError(f"{where}: they do not show the same place; align them first, or check their order")
    return [f"warning: {where}: {advice}"]


def size_of(stack: Stack) -> str:
    """Say the size of a stack in words."""
    members, channels, *depth, height, width = stack.shape
    words = f"{height} x {width} px"
    words += f" x {depth[0]} planes deep" if depth else ""
    words += f" x {channels} channels" if channels > 1 else ""
    return words + (f" x {members} {'volumes' if depth else 'planes'}" if members > 1 else "")
