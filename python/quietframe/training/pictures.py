"""Training pictures: checked once, then only asked for regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .stacks import Stack
from .statistics import DataStatistics, NoiseLevel, measure_channels


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
        another one, drawn anew each time (Noise2Noise).
    anisotropy
        Distance of two planes over distance of two pixels.
    noise
        Noise of a source where it is known.
    """

    names: tuple[str, ...]
    sources: tuple[Stack, ...]
    targets: tuple[Stack, ...] | None = None
    notes: tuple[str, ...] = ()
    partners: bool = False
    anisotropy: float = 1.0
    noise: NoiseLevel | None = None

    @property
    def dims(self) -> int:
        """Spatial axes: 2 for planes, 3 for volumes."""
        return len(self.sources[0].shape) - 2

    def statistics(self) -> DataStatistics:
        """Measure sources and targets, plane by plane."""
        source = measure_channels(self.sources)
        target = source if self.targets is None else measure_channels(self.targets)
        return DataStatistics(source, target, self.dims, self.noise)

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


def collect(
    sources: Sequence[NDArray[Any]],
    names: Sequence[str],
    targets: Sequence[NDArray[Any]] | None = None,
    target_names: Sequence[str] | None = None,
    *,
    dims: int = 2,
    partners: bool = False,
    anisotropy: float = 1.0,
    noise: NoiseLevel | None = None,
) -> Pictures:
    """Check training pictures and put them together.

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
        When a picture is empty, not a plane or stack, not finite or constant, a target is all zero, or shapes or
        numbers of a pair differ.
    """
    if not sources:
        raise InputError("no picture to train on; give at least one file")
    stacks = tuple(_checked(array, name, dims) for array, name in zip(sources, names, strict=True))
    about = {"partners": partners, "anisotropy": anisotropy, "noise": noise}
    if targets is None:
        return Pictures(tuple(names), stacks, **about)  # type: ignore[arg-type]
    target_names = target_names or [f"target of {name}" for name in names]
    if len(targets) != len(stacks):
        raise InputError(f"{len(stacks)} pictures but {len(targets)} targets; give one --target per picture, in order")
    answers = tuple(_checked(array, name, dims, target=True) for array, name in zip(targets, target_names, strict=True))
    notes = []
    for name, source, target_name, target in zip(names, stacks, target_names, answers, strict=True):
        if (source.shape[0], *source.shape[2:]) != (target.shape[0], *target.shape[2:]):
            raise InputError(
                f"a pair differs in shape: {name} is {size_of(source)}, {target_name} is {size_of(target)}; "
                "crop or align them first"
            )
        if np.array_equal(source, target):
            notes.append(f"{target_name} is the same picture as {name}: the net learns to change nothing")
    return Pictures(tuple(names), stacks, answers, tuple(notes), **about)  # type: ignore[arg-type]


def _checked(array: NDArray[Any], name: str, dims: int, *, target: bool = False) -> NDArray[Any]:
    """Return the picture as a stack (N, C, (Z,) Y, X), or say what is wrong with it."""
    if not dims <= array.ndim <= dims + 2 or array.size == 0:
        z = "Z, " if dims == 3 else ""
        raise InputError(
            f"{name} has shape {array.shape}; training takes a {'volume' if z else 'plane'} ({z}Y, X), a stack "
            f"(N, {z}Y, X), or one with channels (N, C, {z}Y, X)"
        )
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype}; training takes integers or floating-point numbers")
    stack = array[np.newaxis] if array.ndim == dims else array
    stack = stack[:, np.newaxis] if stack.ndim == dims + 1 else stack
    if stack.dtype.kind == "b":
        stack = stack.astype(np.uint8)
    if stack.dtype.kind == "f":
        bad = sum(int(part.size - np.isfinite(part).sum()) for part in stack)
        if bad:
            raise InputError(f"{name} holds {bad} pixels that are NaN or infinite; replace them first")
    low, high = stack.min(), stack.max()
    if low == high:
        if target and low == 0:
            raise InputError(f"the target {name} is zero everywhere; there is nothing to learn from it")
        raise InputError(f"{name} is constant (every pixel is {low:g}); there is nothing to learn from it")
    return stack


def size_of(stack: Stack) -> str:
    """Say the size of a stack in words."""
    members, channels, *depth, height, width = stack.shape
    words = f"{height} x {width} px"
    words += f" x {depth[0]} planes deep" if depth else ""
    words += f" x {channels} channels" if channels > 1 else ""
    return words + (f" x {members} {'volumes' if depth else 'planes'}" if members > 1 else "")
