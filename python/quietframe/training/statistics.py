"""How the values of training pictures are distributed: measured once, one plane in memory at a time, per channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .stacks import Stack

PERCENTILE_PIXELS = 2**21
"""Percentiles come from at most about this many evenly spread pixels of a channel."""


@dataclass(frozen=True)
class Statistics:
    """Distribution of the pixels of one channel of all pictures [counts].

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
    p03, p998
        3rd and 99.8th percentile, CARE's normalisation.
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
    p03: float
    p998: float


@dataclass(frozen=True)
class NoiseLevel:
    """Variance of the noise of a pixel, ``slope * signal + intercept`` [counts^2], the signal in counts.

    Parameters
    ----------
    slope
        Counts^2 per count; 1 for electrons.
    intercept
        Variance where there is no light; ``2 s**2`` for a difference of two reads in electrons.
    """

    slope: float
    intercept: float


@dataclass(frozen=True)
class DataStatistics:
    """Statistics of what goes into the net and of what it shall give, one per channel.

    Parameters
    ----------
    source, target
        One per channel; the same where there is no target.
    dims
        Spatial axes of a patch, 2 or 3.
    noise
        Noise of the input where the camera tells it, else None.
    """

    source: tuple[Statistics, ...]
    target: tuple[Statistics, ...]
    dims: int = 2
    noise: NoiseLevel | None = None

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return len(self.source)

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return len(self.target)

    @property
    def input_mean(self) -> list[float]:
        """What is subtracted from each channel of the input [counts]."""
        return [channel.center for channel in self.source]

    @property
    def input_std(self) -> list[float]:
        """What each channel of the input is then divided by [counts]."""
        return [channel.scale for channel in self.source]

    @property
    def output_mean(self) -> list[float]:
        """What is added to each channel of the output in the end [counts]."""
        return [channel.center for channel in self.target]

    @property
    def output_std(self) -> list[float]:
        """What each channel of the output is multiplied by before [counts]."""
        return [channel.scale for channel in self.target]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values.

        The first channel's statistics, the target's under ``target`` where they differ, all channels under
        ``channels`` where there are several, ``dims`` where it is 3, and ``noise`` where it is known.
        """
        plain: dict[str, Any] = asdict(self.source[0])
        if self.target != self.source:
            plain["target"] = asdict(self.target[0])
        if self.in_channels > 1:
            plain["channels"] = [asdict(channel) for channel in self.source]
        if self.target != self.source and self.out_channels > 1:
            plain["target"]["channels"] = [asdict(channel) for channel in self.target]
        if self.dims != 2:
            plain["dims"] = self.dims
        if self.noise is not None:
            plain["noise"] = asdict(self.noise)
        return plain


def noise_terms(stats: DataStatistics) -> tuple[float, float] | None:
    """Return the noise of the normalised input: variance = a * x + b.

    Parameters
    ----------
    stats
        Statistics of the training data.

    Returns
    -------
    tuple of two floats, or None
        ``a = slope / scale`` and ``b = (slope * center + intercept) / scale**2`` of the first channel; None where the
        noise is not known.
    """
    if stats.noise is None:
        return None
    center, scale = stats.source[0].center, stats.source[0].scale
    return stats.noise.slope / scale, (stats.noise.slope * center + stats.noise.intercept) / scale**2


@dataclass
class Running:
    """Moments, range and spread pixels of one channel, plane after plane.

    Parameters
    ----------
    every
        Percentiles use every so manieth pixel.
    """

    every: int
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    spread: list[NDArray[Any]] = field(default_factory=list)

    def add(self, plane: NDArray[Any]) -> None:
        """Take a plane of finite numbers, in float64."""
        values = plane.ravel()
        mean = float(values.mean(dtype=np.float64))
        spread = values[-self.count % self.every :: self.every].copy()
        away = np.subtract(values, mean, dtype=np.float64)
        squares = float(away @ away)
        low, high = float(values.min()), float(values.max())
        self.merge(Running(self.every, values.size, mean, squares, low, high, [spread]))

    def merge(self, other: Running) -> None:
        """Take what another one saw (Chan, Golub & LeVeque 1983, eq. 2.1)."""
        count, shift = self.count + other.count, other.mean - self.mean
        self.squares += other.squares + shift**2 * self.count * other.count / count
        self.mean += shift * other.count / count
        self.count = count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.spread += other.spread

    @property
    def std(self) -> float:
        """Standard deviation of the pixels so far."""
        return float(np.sqrt(self.squares / self.count))

    def finish(self) -> Statistics:
        """Return the statistics."""
        pixels = np.concatenate(self.spread).astype(np.float64)
        p01, p03, p50, p998, p999 = (float(value) for value in np.percentile(pixels, [1, 3, 50, 99.8, 99.9]))
        clipped = np.clip(pixels, p01, p999, out=pixels)
        center, scale = float(clipped.mean()), float(clipped.std())
        if scale <= 1e-3 * self.std:  # nearly all pixels are equal: the few others are the picture
            center, scale = self.mean, self.std
        return Statistics(self.mean, self.std, p01, p50, p999, self.low, self.high, center, scale, p03, p998)


def measure(stacks: Sequence[Stack]) -> Statistics:
    """Measure all pixels of all stacks together.

    Parameters
    ----------
    stacks
        Arrays or lazy stacks (N, ..., Y, X) [counts].

    Notes
    -----
    Moments are exact; percentiles, center and scale come from `PERCENTILE_PIXELS` evenly spread pixels.
    """
    running = Running(spacing(int(np.prod(stack.shape)) for stack in stacks))
    for stack in stacks:
        for index in np.ndindex(*stack.shape[:-2]):
            running.add(stack[index])
    return running.finish()


def spacing(sizes: Iterable[int]) -> int:
    """Return how far apart the pixels for percentiles are, given the numbers of pixels of all stacks."""
    return max(1, sum(sizes) // PERCENTILE_PIXELS)
