"""Weighted sums over the reads of many ramps at once: where a fit spends its time.

Two things make them fast. Weights of equally spaced reads are mirrored in time, ``a_i = -a_{N-1-i}``, so the late half
of a ramp minus its early half holds all that they use, half the numbers, and the unknown start of the ramp is gone.
And matrix products are cut so small that the linear algebra library does each on the thread that asks for it: larger
ones it would share out among threads of its own, which get in the way of ours (measured: 5 times the seconds of CPU).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ON_ONE_THREAD = 2**18
"""Multiplications up to which OpenBLAS, the library in NumPy's wheels, does a product on one thread."""

READS_AT_ONCE = 256
"""Reads in one product; longer ramps are summed up, so that the products do not become narrow."""

NARROWEST, WIDEST = 32, 512
"""Fewest and most ramps in one product."""


def fold(raw: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return the late half of each ramp minus the early half, outermost reads first.

    Parameters
    ----------
    raw
        Reads, shape (N, P).
    dtype
        Type to subtract in; holds the reads exactly.

    Returns
    -------
    ndarray of shape (N // 2, P)
        ``raw[N - 1 - i] - raw[i]``.
    """
    half = len(raw) // 2
    return np.asarray(np.subtract(raw[: len(raw) - half - 1 : -1], raw[:half], dtype=dtype, casting="unsafe"))


def fold_weights(of_reads: NDArray[Any]) -> NDArray[Any]:
    """Return weights of folded ramps, shape (..., N // 2), from weights of reads that are mirrored in time."""
    half = of_reads.shape[-1] // 2
    return np.asarray(-of_reads[..., :half])


def multiply(weights: NDArray[Any], ramps: NDArray[Any]) -> NDArray[Any]:
    """Return ``weights @ ramps`` in products that stay on this thread.

    Parameters
    ----------
    weights
        Shape (M, K), of the type of the ramps.
    ramps
        Shape (K, P).

    Returns
    -------
    ndarray of shape (M, P)
    """
    rows, (reads, pixels) = len(weights), ramps.shape
    result = np.empty((rows, pixels), ramps.dtype)
    for start in range(0, reads, READS_AT_ONCE):
        part = slice(start, start + READS_AT_ONCE)
        some = ramps[part]
        width = int(np.clip(ON_ONE_THREAD // (rows * len(some)), NARROWEST, WIDEST))
        whole = pixels // width * width
        blocks = some[:, :whole].reshape(len(some), -1, width).transpose(1, 0, 2)
        pieces = [np.matmul(weights[:, part], blocks).transpose(1, 0, 2).reshape(rows, whole)]
        pieces.append(weights[:, part] @ some[:, whole:])
        for piece, place in zip(pieces, (slice(0, whole), slice(whole, pixels)), strict=True):
            if start:
                result[:, place] += piece
            else:
                result[:, place] = piece
    return result


def choose(weights: NDArray[Any], entry: NDArray[np.intp], ramps: NDArray[Any]) -> NDArray[Any]:
    """Weight each ramp with its own row of a table, by one product with all rows that occur.

    Parameters
    ----------
    weights
        Table, shape (B, K).
    entry
        Row for each ramp, shape (P,).
    ramps
        Shape (K, P).

    Returns
    -------
    ndarray of shape (P,)
        Of the type of the ramps.
    """
    occurs = np.bincount(entry, minlength=len(weights)) > 0
    products = multiply(weights[occurs].astype(ramps.dtype), ramps)
    if len(products) == 1:
        return np.asarray(products[0])
    position = np.cumsum(occurs) - 1
    return np.asarray(products[position[entry], np.arange(ramps.shape[1])])
