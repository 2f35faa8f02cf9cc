"""The 2-D transforms of 8 x 8 blocks that BM3D uses, its window, and how its coefficients of two blocks covary.

A transform is a matrix T: a block X becomes T X T', and comes back by the inverse of T. Every row has unit norm, so
that white noise keeps its sigma in every coefficient, also where the transform is not orthogonal.

References
----------
Dabov, Foi, Katkovnik, Egiazarian, "Image denoising by sparse 3-D transform-domain collaborative filtering", IEEE
Transactions on Image Processing 16, 2007, section IV; Mäkinen, Azzari, Foi, "Collaborative filtering of correlated
noise: exact transform-domain variance for improved shrinkage and patch matching", IEEE Transactions on Image
Processing 29, 2020, section III.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 8
"""Width of a block [px]."""
KAISER_BETA = 2.0


def cosine_matrix() -> NDArray[np.float64]:
    """Return the orthonormal discrete cosine transform (8, 8)."""
    from scipy.fft import dct

    matrix: NDArray[np.float64] = dct(np.eye(BLOCK), axis=0, norm="ortho")
    return matrix


def biorthogonal_matrix() -> NDArray[np.float64]:
    """Return the periodic wavelet transform bior1.5 down to one mean (8, 8), rows of unit norm.

    Row 0 is the mean; then follow the details from the coarsest to the finest.
    """
    import pywt

    low: NDArray[np.float64] = np.eye(BLOCK)
    details: list[NDArray[np.float64]] = []
    while len(low) > 1:
        low, high = pywt.dwt(low, "bior1.5", mode="periodization", axis=0)
        details.insert(0, high)
    matrix: NDArray[np.float64] = np.concatenate([low, *details])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix


def both_ways(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return T, T', the inverse of T, and the transpose of the inverse: what the kernels multiply with (4, 64)."""
    inverse = np.linalg.inv(matrix)
    return np.stack([part.ravel() for part in (matrix, matrix.T, inverse, inverse.T)]).astype(np.float32)


def kaiser_window() -> NDArray[np.float32]:
    """Return the weights of a block's pixels where blocks are averaged (64,)."""
    line = np.kaiser(BLOCK, KAISER_BETA)
    return np.outer(line, line).ravel().astype(np.float32)


def block_covariance(matrix: NDArray[np.float64], noise: NDArray[Any]) -> NDArray[np.float32]:
    """Return how the same coefficient of two blocks covaries under stationary noise.

    Parameters
    ----------
    matrix
        The transform (8, 8).
    noise
        Covariance of two pixels ``dy``, ``dx`` apart at ``noise[lags + dy, lags + dx]``; zero beyond. Square, odd size.

    Returns
    -------
    NDArray
        Covariance of the coefficients of two blocks ``dy``, ``dx`` apart at ``[reach + dy, reach + dx]``, reach =
        lags + 7: (2 reach + 1, 2 reach + 1, 64), float32. The middle holds the variance of each coefficient.
    """
    lags = noise.shape[0] // 2
    reach = lags + BLOCK - 1
    # Correlation of a row of T with itself: how much of the noise at a lag goes into the product of two coefficients.
    products = np.stack([np.correlate(row, row, mode="full") for row in matrix])
    shifts = np.arange(2 * reach + 1)[:, None] - np.arange(2 * BLOCK - 1)[None]
    lines = np.where((shifts >= 0) & (shifts <= 2 * lags), shifts, 2 * lags + 1)
    padded = np.pad(noise.astype(np.float64), (0, 1))
    table = np.einsum("ua,yxab,vb->yxuv", products, padded[lines][:, :, lines].transpose(0, 2, 1, 3), products)
    table = table.reshape(*table.shape[:2], -1)
    # A correlation that was measured is not exactly one that noise can have.
    table[reach, reach] = np.maximum(table[reach, reach], 1e-3 * noise[lags, lags])
    return np.ascontiguousarray(table, np.float32)


def possible_correlation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation (odd, odd) nearest to a measured one that has no negative power at any frequency."""
    lags = values.shape[0] // 2
    spread = np.zeros((4 * lags + 4, 4 * lags + 4))
    spread[: 2 * lags + 1, : 2 * lags + 1] = values
    power = np.fft.fft2(np.roll(spread, (-lags, -lags), (0, 1))).real
    found = np.roll(np.fft.ifft2(np.maximum(power, 0)).real, (lags, lags), (0, 1))[: 2 * lags + 1, : 2 * lags + 1]
    kept: NDArray[np.float64] = found / found[lags, lags]
    return kept


def share_in_finest_diagonal(correlation: NDArray[np.float64]) -> float:
    """Return the variance of the finest diagonal coefficients (db2) of noise of variance 1: 1 where it is white."""
    import pywt

    high = np.asarray(pywt.Wavelet("db2").dec_hi)
    lags, line = correlation.shape[0] // 2, np.correlate(high, high, mode="full")
    reach = min(lags, len(line) // 2)
    near = line[len(line) // 2 - reach : len(line) // 2 + reach + 1]
    return float(near @ correlation[lags - reach : lags + reach + 1, lags - reach : lags + reach + 1] @ near)
