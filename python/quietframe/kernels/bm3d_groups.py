"""Collaborative filtering of groups of similar blocks: the compiled inner part of BM3D.

A group is an array (K, 64), K a power of two: 8 x 8 blocks, the reference block first, then by falling likeness. Each
is transformed in two dimensions, then Haar's transform runs along the group, in place.

References
----------
Dabov, Foi, Katkovnik, Egiazarian, "Image denoising by sparse 3-D transform-domain collaborative filtering", IEEE
Transactions on Image Processing 16, 2007, equations 5 to 12; Lebrun, "An analysis and implementation of the BM3D image
denoising method", Image Processing On Line 2, 2012; Mäkinen, Azzari, Foi, "Collaborative filtering of correlated
noise", IEEE Transactions on Image Processing 29, 2020, equation 12 (variance of a coefficient of a whole group).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_HALF = np.float32(np.sqrt(0.5))


@njit(nogil=True, cache=True, fastmath=True)
def times(left: NDArray[Any], right: NDArray[Any], out: NDArray[Any]) -> None:
    """Multiply two 8 x 8 matrices, each given as 64 numbers."""
    for u in range(8):
        row, done = left[8 * u :][:8], out[8 * u :][:8]
        for v in range(8):
            done[v] = (
                (row[0] * right[v] + row[1] * right[8 + v]) + (row[2] * right[16 + v] + row[3] * right[24 + v])
            ) + ((row[4] * right[32 + v] + row[5] * right[40 + v]) + (row[6] * right[48 + v] + row[7] * right[56 + v]))


@njit(nogil=True, cache=True, fastmath=True)
def gather(image: NDArray[Any], places: NDArray[Any], transform: NDArray[Any], group: NDArray[Any]) -> None:
    """Fill a group with the 2-D transforms of the blocks at some places."""
    block, half = np.empty(64, np.float32), np.empty(64, np.float32)
    for k in range(len(group)):
        y, x = places[k]
        for r in range(8):
            row, to = image[y + r][x:][:8], block[8 * r :][:8]
            for c in range(8):
                to[c] = row[c]
        times(transform[0], block, half)
        times(half, transform[1], group[k])
    haar(group)


@njit(nogil=True, cache=True, fastmath=True)
def haar(group: NDArray[Any]) -> None:
    """Transform along a group, in place: the mean first, each difference where its second half began."""
    step = 1
    while step < len(group):
        for k in range(0, len(group), 2 * step):
            first, second = group[k], group[k + step]
            for c in range(64):
                a, b = first[c], second[c]
                first[c] = (a + b) * _HALF
                second[c] = (a - b) * _HALF
        step *= 2


@njit(nogil=True, cache=True, fastmath=True)
def haar_back(group: NDArray[Any]) -> None:
    """Undo `haar`."""
    step = len(group) // 2
    while step > 0:
        for k in range(0, len(group), 2 * step):
            first, second = group[k], group[k + step]
            for c in range(64):
                a, b = first[c], second[c]
                first[c] = (a + b) * _HALF
                second[c] = (a - b) * _HALF
        step //= 2


@njit(nogil=True, cache=True, fastmath=True)
def group_variance(places: NDArray[Any], table: NDArray[Any], variance: NDArray[Any]) -> None:
    """Compute the variance of the noise in every coefficient of a group.

    Parameters
    ----------
    places
        Upper left pixels (K, 2) of the blocks.
    table
        Of `block_transforms.block_covariance`; of size (1, 1, 64) where the noise of different blocks is independent.
    variance
        Result (K, 64).
    """
    reach = table.shape[0] // 2
    count = len(variance)
    for k in range(count):
        variance[k] = table[reach, reach]
    if reach == 0:
        return
    for b in range(1, count):
        for a in range(b):
            dy, dx = places[b, 0] - places[a, 0], places[b, 1] - places[a, 1]
            if abs(dy) > reach or abs(dx) > reach:
                continue
            shared = table[reach + dy, reach + dx]
            step = 1
            while step < count:
                if a // (2 * step) == b // (2 * step):
                    scale = np.float32(1.0 / step if a // step == b // step else -1.0 / step)
                    to = variance[a // (2 * step) * (2 * step) + step]
                    for c in range(64):
                        to[c] += scale * shared[c]
                step *= 2
            scale, to = np.float32(2.0 / count), variance[0]
            for c in range(64):
                to[c] += scale * shared[c]
    floor = np.float32(0.01) * table[reach, reach]
    for k in range(count):
        for c in range(64):
            variance[k, c] = max(variance[k, c], floor[c])


@njit(nogil=True, cache=True, fastmath=True)
def shrink_hard(group: NDArray[Any], variance: NDArray[Any], threshold: float) -> Any:
    """Set coefficients below `threshold` sigmas to zero, never the mean; return the weight of the group."""
    square, kept, mean = np.float32(threshold * threshold), np.float32(0), group[0, 0]
    for k in range(len(group)):
        row, noise = group[k], variance[k]
        for c in range(64):
            stays = row[c] * row[c] > square * noise[c]
            row[c] = row[c] if stays else np.float32(0)
            kept += noise[c] if stays else np.float32(0)
    if mean * mean <= square * variance[0, 0]:
        group[0, 0] = mean
        kept += variance[0, 0]
    return 1.0 / kept


@njit(nogil=True, cache=True, fastmath=True)
def shrink_wiener(group: NDArray[Any], pilot: NDArray[Any], variance: NDArray[Any]) -> Any:
    """Weight coefficients by pilot^2 / (pilot^2 + variance), the mean by 1; return the weight of the group."""
    kept, mean = np.float32(0), group[0, 0]
    pilot[0, 0] = np.float32(1e18)
    for k in range(len(group)):
        row, guess, noise = group[k], pilot[k], variance[k]
        for c in range(64):
            power = guess[c] * guess[c]
            share = power / (power + noise[c])
            row[c] *= share
            kept += share * share * noise[c]
    group[0, 0] = mean
    return 1.0 / kept


@njit(nogil=True, cache=True, fastmath=True)
def scatter(
    group: NDArray[Any],
    places: NDArray[Any],
    first_row: int,
    weights: NDArray[Any],
    transform: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """Transform a group back and add its blocks to the sums.

    Parameters
    ----------
    group
        Coefficients (K, 64); destroyed.
    places
        Upper left pixels (K, 2) of the blocks.
    first_row
        Row of the image that is row 0 of `sums`.
    weights
        Weight of each pixel of a block (64,).
    transform
        Of `block_transforms.both_ways`.
    sums
        Weighted values and weights (2, rows, X), added to.
    """
    block, half = np.empty(64, np.float32), np.empty(64, np.float32)
    haar_back(group)
    for k in range(len(group)):
        y, x = places[k, 0] - first_row, places[k, 1]
        times(transform[2], group[k], half)
        times(half, transform[3], block)
        for r in range(8):
            value, weight = sums[0, y + r][x:][:8], sums[1, y + r][x:][:8]
            part, window = block[8 * r :][:8], weights[8 * r :][:8]
            for c in range(8):
                value[c] += part[c] * window[c]
                weight[c] += window[c]
