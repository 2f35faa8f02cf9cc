"""One exposure divided: no part shares a read with another, and a guard read stands between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietframe.errors import InputError
from quietframe.ndr.split import split_exposure, split_halves


@given(n_reads=st.integers(14, 400), first=st.integers(0, 3))
def test_inputs_targets_and_the_held_out_part_share_no_read(n_reads: int, first: int) -> None:
    if n_reads - first < 14:
        return
    split = split_exposure(n_reads, first)
    held_out = set(range(split.held_out[0], split.held_out[1] + 1))
    for (a, b), (begin, end) in zip(split.inputs, split.targets, strict=True):
        noisy, target = set(range(a, b + 1)), set(range(begin, end))
        assert b - a == split.difference
        assert not noisy & target
        assert not noisy & held_out
        assert not target & held_out
    assert {read for window in split.inputs for read in window} <= set(range(first, n_reads))
    assert max(held_out) < n_reads


def test_a_long_exposure_gives_differences_of_twenty() -> None:
    assert split_exposure(1000).difference == 20
    assert split_exposure(150).inputs[:2] == ((0, 20), (21, 41))


def test_too_few_reads_are_refused_with_the_least_number() -> None:
    with pytest.raises(InputError, match=r"13 usable reads are too few.*at least 14"):
        split_exposure(13)


@given(n_reads=st.integers(6, 300), first=st.integers(0, 3), guard=st.integers(0, 5))
def test_halves_are_equally_long_and_keep_their_guard(n_reads: int, first: int, guard: int) -> None:
    if (n_reads - first - guard + 1) // 2 < 2:
        with pytest.raises(InputError, match=f"it takes at least {guard + 3}"):
            split_halves(n_reads, first, guard=guard)
        return
    halves = split_halves(n_reads, first, guard=guard)
    (a, b), (c, d) = halves.a, halves.b
    assert b - a == d - c >= 2
    assert (a, d) == (first, n_reads)
    left_out = c - (b - 1)  # sub-frames from the last read of A to the first of B
    assert guard <= left_out <= guard + 1
