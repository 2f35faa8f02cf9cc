"""Axes strings: what is accepted, what is refused with which words, and transposing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietframe import axes
from quietframe.errors import InputError

LEADS = st.permutations("STCZ").flatmap(lambda lead: st.integers(0, 4).map(lambda count: "".join(lead[:count])))


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, str]:
    names = draw(LEADS) + "YX"
    shape = draw(st.lists(st.integers(1, 3), min_size=len(names), max_size=len(names)))
    return np.arange(np.prod(shape)).reshape(shape), names


@given(images())
@settings(max_examples=40, deadline=None)
def test_normalize_accepts_every_order_in_both_cases(image: tuple[np.ndarray, str]) -> None:
    array, names = image
    assert axes.normalize(names.lower(), array.shape) == names


@given(images(), st.permutations("STCZ"))
@settings(max_examples=40, deadline=None)
def test_to_axes_moves_every_pixel_to_its_place_and_back(image: tuple[np.ndarray, str], lead: list[str]) -> None:
    array, names = image
    wanted = "".join(lead) + "YX"
    moved = axes.to_axes(array, names, wanted)
    assert moved.shape == tuple(axes.length(array.shape, names, letter) for letter in wanted)
    for index in np.ndindex(*array.shape):
        place = tuple(index[names.index(letter)] if letter in names else 0 for letter in wanted)
        assert moved[place] == array[index]
    back = axes.to_axes(moved, wanted, names)
    assert np.array_equal(back, array)


@given(images())
@settings(max_examples=20, deadline=None)
def test_planes_are_all_pixels_divided_by_those_of_one_plane(image: tuple[np.ndarray, str]) -> None:
    array, names = image
    assert axes.planes_of(array.shape, names) * array.shape[-2] * array.shape[-1] == array.size


@pytest.mark.parametrize("given_axes, shape, words", [
    ("TQYX", (2, 2, 5, 5), "'Q' is not one of STCZYX"),
    ("TTYX", (2, 2, 5, 5), "name an axis twice"),
    ("TYX", (5, 5), "3 letters, but the image has 2 axes"),
    ("YX", (2, 5, 5), "2 letters, but the image has 3 axes"),
    ("TXY", (2, 5, 5), "need Y before X"),
    ("TZX", (2, 5, 5), "need Y before X"),
    ("", (), "need Y before X"),
])  # fmt: skip
def test_wrong_axes_are_refused_with_what_is_allowed(given_axes: str, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        axes.normalize(given_axes, shape)


def test_an_axis_that_cannot_be_dropped_is_named_with_its_length() -> None:
    with pytest.raises(InputError, match="axis C has 2 entries, but only TYX is possible"):
        axes.to_axes(np.zeros((2, 4, 5)), "CYX", "TYX")


def test_default_axes_are_documented_ones_only_from_2_to_6() -> None:
    assert [axes.default_axes(ndim) for ndim in range(2, 7)] == ["YX", "TYX", "TZYX", "TCZYX", "STCZYX"]
    for ndim in (0, 1, 7):
        with pytest.raises(InputError, match=f"2 to 6 axes; this array has {ndim}"):
            axes.default_axes(ndim)
