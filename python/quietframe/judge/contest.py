"""Compare denoisers on one picture without truth, and say which differences are more than chance.

Two ways. With an independent **repeat** B of the scene, ``mean((P - B)^2)`` is the error of the result P plus the noise
of B, which is the same for all. Without, by **hidden pixels** (J-invariance): one pixel of sixteen is replaced by the
mean of its neighbours, and what a denoiser says there is compared with the value that it could not see. That is its
error plus the noise, too, as long as the noise of neighbouring pixels is independent.

Both are means over the same pixels, so that two denoisers differ by more than chance when the mean difference over
32 x 32 pixels exceeds two standard errors.

References
----------
Batson & Royer 2019, "Noise2Self: blind denoising by self-supervision", ICML (section 3.1: the self-supervised loss is
the error plus the variance of the noise).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError
from ..metrics.noise_correlation import noise_correlation

Plane = NDArray[np.float64]
Denoise = Callable[[NDArray[np.float32]], NDArray[Any]]

SPACING = 4
"""Every fourth pixel of every fourth row is hidden at once."""

PHASES = 4
"""How many of the 16 ways to hide them are used."""

BLOCK = 32
"""Side of the squares whose differences are compared [px]."""

LARGEST_SIDE = 1024
"""Larger pictures are judged in their middle, this many pixels wide and high."""

SIGMAS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
"""Standard deviations of the Gaussian that are tried [px]."""

_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]) / 8
_BEST_LIMIT = 2.0


@dataclass(frozen=True)
class Score:
    """What one denoiser reached.

    Parameters
    ----------
    name
        Of the denoiser.
    mean_square
        Mean squared difference to what judges it, unit squared; the noise of that is inside.
    blocks
        The same in each square of 32 x 32 pixels.
    """

    name: str
    mean_square: float
    blocks: NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """One row of the table.

    Parameters
    ----------
    score
        What the denoiser reached.
    rms_error
        Estimated error [unit]: where the noise of the repeat is known; else None.
    gain_db
        Less error than the noisy picture [dB]; None where that cannot be said.
    behind
        How much larger its mean square is than that of the best, and the standard error of this, unit squared.
    """

    score: Score
    rms_error: float | None
    gain_db: float | None
    behind: tuple[float, float]

    @property
    def told_apart(self) -> bool:
        """Whether it is behind the best by more than chance."""
        return self.behind[0] > _BEST_LIMIT * self.behind[1]


def against_repeat(name: str, results: Sequence[NDArray[Any]], repeats: Sequence[NDArray[Any]]) -> Score:
    """Compare results with independent repeats of the scene, plane by plane.

    Raises
    ------
    InputError
        When shapes differ, or no pixel is finite in both.
    """
    squares = []
    for result, repeat in zip(results, repeats, strict=True):
        if result.shape != repeat.shape:
            raise InputError(f"the repeat has {repeat.shape} pixels, the picture {result.shape}; they must be equal")
        squares.append((middle(result).astype(np.float64) - middle(repeat)) ** 2)
    return _score(name, squares)


def by_hidden_pixels(name: str, planes: Sequence[NDArray[Any]], denoise: Denoise, seed: int = 0) -> Score:
    """Let a denoiser say what hidden pixels are.

    Parameters
    ----------
    name
        Of the denoiser.
    planes
        Noisy planes (Y, X).
    denoise
        Noisy plane, float32, to denoised plane.
    seed
        Of the choice of pixels; the same for all denoisers that are compared.
    """
    squares = []
    for plane in planes:
        seen = middle(plane).astype(np.float64)
        square = np.full(seen.shape, np.nan)
        around = ndimage.convolve(seen, _NEIGHBOURS, mode="mirror")
        chosen = np.random.default_rng(seed).permutation(SPACING**2)[:PHASES]
        for phase in chosen:
            place = (slice(phase // SPACING, None, SPACING), slice(phase % SPACING, None, SPACING))
            hidden = seen.copy()
            hidden[place] = around[place]
            said = np.asarray(denoise(hidden.astype(np.float32)), dtype=np.float64)
            square[place] = (said[place] - seen[place]) ** 2
        squares.append(square)
    return _score(name, squares)


def rank(scores: Sequence[Score], noisy: Score | None = None, noise_variance: float | None = None) -> list[Standing]:
    """Put denoisers in order, the best first.

    Parameters
    ----------
    scores
        Of the same pixels.
    noisy
        What the noisy picture itself reached against a repeat; None without one.
    noise_variance
        Of the repeat, unit squared, where it is known.
    """
    best = min(scores, key=lambda score: score.mean_square)
    standings = []
    for score in sorted(scores, key=lambda score: score.mean_square):
        rms = gain = None
        if noise_variance is not None and noisy is not None:
            left, before = score.mean_square - noise_variance, noisy.mean_square - noise_variance
            rms = math.sqrt(max(left, 0.0))
            gain = 10 * math.log10(before / left) if left > 0 and before > 0 else None
        apart = score.blocks - best.blocks
        error = float(apart.std(ddof=1) / math.sqrt(apart.size)) if apart.size > 1 else math.inf
        standings.append(Standing(score, rms, gain, (float(apart.mean()), 0.0 if score is best else error)))
    return standings


def calibrate_gaussian(planes: Sequence[NDArray[Any]]) -> float:
    """Choose the width of a Gaussian filter without truth: the one that tells every pixel best from its neighbours.

    The filter without its middle weight cannot see the pixel that it predicts, so its mean squared difference to the
    picture is its error plus the noise.

    Returns
    -------
    float
        Standard deviation of the filter, pixels, one of `SIGMAS`.
    """
    losses = []
    for sigma in SIGMAS:
        weight = ndimage.gaussian_filter(np.eye(1, 65, 32), (0.0, sigma))[0, 32] ** 2
        total = 0.0
        for plane in planes:
            seen = middle(plane).astype(np.float64)
            blind = (ndimage.gaussian_filter(seen, sigma, mode="mirror") - weight * seen) / (1 - weight)
            total += float(np.mean((blind - seen) ** 2))
        losses.append(total)
    return SIGMAS[int(np.argmin(losses))]


def gaussian(sigma: float) -> Denoise:
    """Return the Gaussian filter of a width in pixels."""
    return lambda plane: ndimage.gaussian_filter(plane.astype(np.float64), sigma, mode="mirror")


def why_not_hidden(plane: NDArray[Any]) -> str | None:
    """Say why hidden pixels cannot judge on this plane; None where the noise of neighbouring pixels is independent."""
    measured = noise_correlation(middle(plane))
    if not measured.significant:
        return None
    return (
        f"the noise of neighbouring pixels is correlated ({max(measured.x, measured.y):.2f} one pixel apart), so that "
        "neighbours tell the noise of a hidden pixel and the figures favour methods that keep it; give a second "
        "exposure of the scene (--repeat)"
    )


def middle(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the middle of a plane, at most `LARGEST_SIDE` pixels wide and high."""
    corner = [max(0, (side - LARGEST_SIDE) // 2) for side in plane.shape]
    return plane[corner[0] : corner[0] + LARGEST_SIDE, corner[1] : corner[1] + LARGEST_SIDE]


def _score(name: str, squares: Sequence[Plane]) -> Score:
    counted = [np.isfinite(square) for square in squares]
    if not any(where.any() for where in counted):
        raise InputError(f"{name}: no pixel is finite in both pictures; nothing can be compared")
    blocks = np.concatenate([_block_means(square) for square in squares])
    total = sum(float(square[where].sum()) for square, where in zip(squares, counted, strict=True))
    return Score(name, total / sum(int(where.sum()) for where in counted), blocks)


def _block_means(square: Plane) -> NDArray[np.float64]:
    """Return the mean over each square of the grid that holds a finite pixel; the ragged rest is left out."""
    rows, columns = (max(1, side // BLOCK) for side in square.shape)
    cut = square[: rows * BLOCK, : columns * BLOCK]
    parts = cut.reshape(rows, cut.shape[0] // rows, columns, cut.shape[1] // columns)
    finite = np.isfinite(parts)
    counts = finite.sum(axis=(1, 3))
    means: NDArray[np.float64] = np.where(finite, parts, 0).sum(axis=(1, 3))[counts > 0] / counts[counts > 0]
    return means
