"""One exposure divided: no part shares a read with another, and a guard read stands between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietframe.errors import InputError
from quietframe.ndr.split import split_exposure


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
