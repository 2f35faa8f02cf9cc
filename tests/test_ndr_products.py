"""Weighted sums of many ramps: the shortcuts give what the plain sums give."""

from __future__ import annotations

import numpy as np
import pytest

from quietframe.ndr import products, weights

METHODS = ("optimal", "last-first", "fowler", "lsq")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_reads", [2, 3, 16, 101])
def test_folded_ramps_and_weights_give_the_sum_over_all_reads(method: str, n_reads: int) -> None:
    rng = np.random.default_rng(n_reads)
    row = weights.of_reads(weights.weights_for(method, n_reads, 0.7, 3.0))
    raw = rng.integers(0, 65536, (n_reads, 40)).astype(np.uint16)
    folded = products.fold_weights(row) @ products.fold(raw, np.float64)
    # weights of reads sum to 0 only to 1e-16 of their size, times 65535, times as many reads
    np.testing.assert_allclose(folded, row @ raw.astype(np.float64), atol=1e-9)


def test_folding_unsigned_reads_never_wraps() -> None:
    raw = np.array([[65535, 0], [7, 7], [0, 65535]], np.uint16)
    np.testing.assert_array_equal(products.fold(raw, np.float32), [[-65535.0, 65535.0]])


@pytest.mark.parametrize(("rows", "reads", "pixels"), [(1, 1, 1), (3, 50, 1000), (20, 700, 333), (64, 999, 31)])
def test_products_in_pieces_equal_the_whole_product(rows: int, reads: int, pixels: int) -> None:
    rng = np.random.default_rng(rows)
    left, right = rng.standard_normal((rows, reads)), rng.standard_normal((reads, pixels))
    # a sum of `reads` products of size 1 in another order: float64 rounding grows with the number of reads
    np.testing.assert_allclose(products.multiply(left, right), left @ right, atol=1e-15 * reads)


def test_every_ramp_gets_its_own_row_of_the_table() -> None:
    rng = np.random.default_rng(2)
    table, ramps, entry = rng.standard_normal((9, 30)), rng.standard_normal((30, 500)), rng.integers(2, 7, 500)
    expected = np.einsum("pk,kp->p", table[entry], ramps)
    np.testing.assert_allclose(products.choose(table, entry, ramps), expected, atol=1e-13)
    one = np.full(500, 4)
    np.testing.assert_allclose(products.choose(table, one, ramps), table[4] @ ramps, atol=1e-13)
