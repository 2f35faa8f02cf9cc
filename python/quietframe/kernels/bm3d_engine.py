"""BM3D: two passes over an image in bands of rows whose overlaps are added in order, whatever the number of threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bands import SMALLEST, over_bands
from .block_matching import displacements, match_row
from .block_transforms import BLOCK, biorthogonal_matrix, block_covariance, both_ways, cosine_matrix, kaiser_window
from .bm3d_groups import gather, group_variance, scatter, shrink_hard, shrink_wiener

STEP = 3
"""Every third block along both axes is a reference block."""
RADIUS = 19
"""Similar blocks are looked for up to this far away [px]: a window of 39."""
REACH = 2 * (RADIUS + BLOCK - 1) - (BLOCK - 1)
"""How far from a pixel one pass looks [px]."""
_BAND = 8  # reference rows that share one buffer
_BATCH = 32  # bands whose buffers are held at a time


@dataclass(frozen=True)
class Strengths:
    """What the two passes do; distances are mean squares per pixel, in units of the noise variance.

    Parameters
    ----------
    threshold
        Coefficients below so many sigmas are noise, in the first pass.
    likeness_hard, likeness_wiener
        Blocks further apart than this are not grouped; in the first pass beside the 2 that noise makes.
    wiener_noise
        What the noise variance is multiplied by in the second pass: its pilot lacks what the first one took away.
    blocks_hard, blocks_wiener
        Largest group, a power of two.
    """

    threshold: float = 2.67
    likeness_hard: float = 30.0
    likeness_wiener: float = 3.0
    wiener_noise: float = 0.73
    blocks_hard: int = 16
    blocks_wiener: int = 32


WHITE = Strengths()
CORRELATED = Strengths(threshold=3.2, wiener_noise=2.0)
"""Coarse noise looks like structure, and what the first pass leaves of it is coarse: the second must not trust it."""


class _Pass(NamedTuple):
    """One pass over the image, as the compiled part reads it."""

    transform: NDArray[Any]
    table: NDArray[Any]
    window: NDArray[Any]
    moves: NDArray[Any]
    offsets: NDArray[Any]
    limit: float
    room: int
    threshold: float
    """0 for the Wiener pass."""


@njit(nogil=True, cache=True)
def _filter_rows(noisy: Any, pilot: Any, rows: Any, columns: Any, plan: Any, sums: Any) -> None:
    """Filter the groups of some reference rows into sums (2, rows, X), whose row 0 is RADIUS above the first one."""
    which = np.empty((len(columns), plan.room), np.int32)
    places = np.empty((plan.room, 2), np.int64)
    groups = np.empty((3, plan.room, 64), np.float32)
    first_row = max(0, rows[0] - RADIUS)
    for y in rows:
        counts = match_row(pilot, y, columns, plan.moves, plan.offsets, plan.limit, which)
        for j in range(len(columns)):
            count = 1
            while 2 * count <= counts[j]:
                count *= 2
            places[0, 0], places[0, 1] = y, columns[j]
            for k in range(1, count):
                places[k, 0] = y + plan.moves[which[j, k], 0]
                places[k, 1] = columns[j] + plan.moves[which[j, k], 1]
            at, group, variance = places[:count], groups[0, :count], groups[1, :count]
            group_variance(at, plan.table, variance)
            gather(noisy, at, plan.transform, group)
            if plan.threshold > 0:
                weight = shrink_hard(group, variance, plan.threshold)
            else:
                gather(pilot, at, plan.transform, groups[2, :count])
                weight = shrink_wiener(group, groups[2, :count], variance)
            scatter(group, at, first_row, plan.window * np.float32(weight), plan.transform, sums)


def _starts(length: int) -> NDArray[np.int64]:
    """Return where reference blocks begin along an axis: every third pixel, and the last possible one."""
    last = length - BLOCK
    return np.unique(np.append(np.arange(0, last + 1, STEP), last))


def _run(noisy: NDArray[np.float32], pilot: NDArray[np.float32], plan: _Pass) -> NDArray[np.float32]:
    """Pass once over an image (Y, X) of at least 8 x 8 pixels."""
    height, width = noisy.shape
    rows, columns = _starts(height), _starts(width)
    bands = [rows[first : first + _BAND] for first in range(0, len(rows), _BAND)]
    value, weight = np.zeros((2, height, width), np.float32)
    for first in range(0, len(bands), _BATCH):
        batch = bands[first : first + _BATCH]
        buffers: dict[int, NDArray[np.float32]] = {}

        def work(start: int, stop: int, batch: Any = batch, buffers: Any = buffers) -> None:
            # over_bands cuts at multiples of SMALLEST here: each stands for one band.
            for band in range(start // SMALLEST, stop // SMALLEST):
                top = max(0, int(batch[band][0]) - RADIUS)
                bottom = min(height, int(batch[band][-1]) + RADIUS + BLOCK)
                sums = np.zeros((2, bottom - top, width), np.float32)
                _filter_rows(noisy, pilot, batch[band], columns, plan, sums)
                buffers[band] = sums

        over_bands(work, len(batch) * SMALLEST, bands=len(batch))
        for band in range(len(batch)):
            sums = buffers.pop(band)
            top = max(0, int(batch[band][0]) - RADIUS)
            value[top : top + sums.shape[1]] += sums[0]
            weight[top : top + sums.shape[1]] += sums[1]
    value /= weight
    return value


def _plan(matrix: NDArray[np.float64], noise: NDArray[np.float64], wiener: bool, strengths: Strengths) -> _Pass:
    """Lay out a pass over noise of variance about 1: its covariance is `noise`, (1, 1) where it is white."""
    lags = noise.shape[0] // 2
    table = block_covariance(matrix, noise)
    if wiener:
        table *= np.float32(strengths.wiener_noise)
    moves = displacements(RADIUS)
    offsets = np.zeros(len(moves), np.float32)
    limit = strengths.likeness_wiener if wiener else strengths.likeness_hard
    if not wiener:
        variance, near = noise[lags, lags], (np.abs(moves) <= lags).all(axis=1)
        offsets += np.float32(2 * BLOCK**2 * variance)
        dy, dx = moves[near].T
        offsets[near] -= np.float32(2 * BLOCK**2) * noise[lags + dy, lags + dx].astype(np.float32)
    return _Pass(
        both_ways(matrix), table, kaiser_window(), moves, offsets, float(limit * BLOCK**2),
        strengths.blocks_wiener if wiener else strengths.blocks_hard, 0.0 if wiener else strengths.threshold,
    )  # fmt: skip


def bm3d(
    image: NDArray[np.float32],
    noise: NDArray[np.float64],
    *,
    wiener: bool = True,
    strengths: Strengths | None = None,
) -> NDArray[np.float32]:
    """Denoise an image whose noise has a variance of about 1.

    Parameters
    ----------
    image
        Plane (Y, X), float32.
    noise
        Covariance of the noise of two pixels ``dy``, ``dx`` apart at ``noise[lags + dy, lags + dx]``: (1, 1) where it
        is white, else square of odd size.
    wiener
        Whether the second pass follows the first.
    strengths
        What the passes do; `WHITE` or `CORRELATED` by default, as the noise is.

    Returns
    -------
    NDArray
        Float32, of the image's shape; the same for any number of threads.
    """
    strengths = strengths or (CORRELATED if noise.size > 1 else WHITE)
    height, width = image.shape
    below, right = max(0, BLOCK - height), max(0, BLOCK - width)
    padded = np.ascontiguousarray(np.pad(image, ((0, below), (0, right)), mode="symmetric"), np.float32)
    done = _run(padded, padded, _plan(biorthogonal_matrix(), noise, False, strengths))
    if wiener:
        done = _run(padded, done, _plan(cosine_matrix(), noise, True, strengths))
    return done[:height, :width].copy()
