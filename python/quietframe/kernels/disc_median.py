"""Medians within ImageJ's discs, of any radius, at a cost that grows with the radius and not with its square.

A tile of the image is sorted once, and every pixel of it gets its place in that order. The disc is then a set of
places, one bit each; it wanders through the tile in serpentines, and with each step only the pixels at its rim enter
or leave. The median is found by counting bits from where it was before. Medians are values of the image: the result is
exact, whatever the tiles.

References
----------
Huang, Yang, Tang, "A fast two-dimensional median filtering algorithm", IEEE Transactions on Acoustics, Speech, and
Signal Processing 27, 1979 (the running set, there a histogram of 8-bit values).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bands import over_bands
from .disc import half_widths, pad_edges

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

_PLACES_PER_POINT = 64  # how many pixels of a tile per pixel of the disc: about one set bit per word of 64
_SMALLEST_TILE = 24


@njit(nogil=True, cache=True, inline="always")
def count_bits(word: Any) -> Any:
    """Return how many bits of a uint64 are set; compiled to one instruction where the processor has it."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(nogil=True, cache=True)
def _sort_by_key(pairs: NDArray[np.uint64], spare: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sort by the upper 32 bits, eight at a time; return the array that holds the result."""
    counts = np.zeros((4, 256), np.int64)
    for pair in pairs:
        for digit in range(4):
            counts[digit, (pair >> np.uint64(32 + 8 * digit)) & np.uint64(255)] += 1
    for digit in range(4):
        shift = np.uint64(32 + 8 * digit)
        starts = counts[digit]
        if starts.max() == len(pairs):
            continue
        total = 0
        for value in range(256):
            total, starts[value] = total + starts[value], total
        for pair in pairs:
            value = (pair >> shift) & np.uint64(255)
            spare[starts[value]] = pair
            starts[value] += 1
        pairs, spare = spare, pairs
    return pairs


@njit(nogil=True, cache=True)
def _places(bits: NDArray[np.uint32], pitch: int, places: NDArray[np.uint32], values: NDArray[np.uint32]) -> None:
    """Give each pixel of a tile its place in the order of its values; `bits` are those of single-precision numbers."""
    height, width = bits.shape
    pairs = np.empty(height * width, np.uint64)
    for y in range(height):
        row, line = bits[y], pairs[y * width : (y + 1) * width]
        for x in range(width):
            # As whole numbers these sort like the numbers whose bits they are.
            key = ~row[x] if row[x] >> np.uint32(31) else row[x] | np.uint32(0x80000000)
            line[x] = np.uint64(key) << np.uint64(32) | np.uint64(y * pitch + x)
    pairs = _sort_by_key(pairs, np.empty_like(pairs))
    for place in range(len(pairs)):
        key = np.uint32(pairs[place] >> np.uint64(32))
        places[pairs[place] & np.uint64(0xFFFFFFFF)] = place
        values[place] = key & np.uint32(0x7FFFFFFF) if key >> np.uint32(31) else ~key


@njit(nogil=True, cache=True, inline="always")
def _toggle(words: NDArray[np.uint64], places: NDArray[np.uint32], at: int, offsets: Indices, word: int) -> Any:
    """Put pixels into the set, or take them out; return how many of them lie below a word."""
    below = 0
    for offset in offsets:
        place = places[at + offset]
        words[place >> np.uint32(6)] ^= np.uint64(1) << np.uint64(place & np.uint32(63))
        below += int(np.int64(place >> np.uint32(6)) < word)
    return below


@njit(nogil=True, cache=True, inline="always")
def _find(words: NDArray[np.uint64], word: int, below: int, half: int) -> tuple[int, int, int]:
    """Return the word that holds the median, how many bits lie below that word, and the median's place."""
    while below > half:
        word -= 1
        below -= count_bits(words[word])
    inside = count_bits(words[word])
    while below + inside <= half:
        below += inside
        word += 1
        inside = count_bits(words[word])
    rest = words[word]
    for _ in range(half - below):
        rest &= rest - np.uint64(1)
    return word, below, 64 * word + count_bits(~rest & (rest - np.uint64(1)))


@njit(nogil=True, cache=True)
def _median_tile(
    bits: NDArray[np.uint32], moves: tuple[Indices, Indices, Indices], pitch: int, out: NDArray[np.uint32]
) -> None:
    """Find all medians of a tile.

    Parameters
    ----------
    bits
        The tile with what the disc reaches around it.
    moves
        Where in memory the pixels of the disc lie (n,), and for a step right, left and down (3, rim): those that
        leave, seen from the pixel before, and those that enter, seen from the pixel after.
    pitch
        How far apart in memory the rows lie for which that is so.
    out
        The bits of the medians.
    """
    height, width = out.shape
    far = (bits.shape[1] - width) // 2
    places, values = np.empty(bits.shape[0] * pitch, np.uint32), np.empty(bits.size, np.uint32)
    _places(bits, pitch, places, values)
    words = np.zeros(bits.size // 64 + 1, np.uint64)
    disc, leaving, entering = moves
    half = len(disc) // 2
    steps = (1, -1, pitch)
    at, word = far * pitch + far, 0
    below = _toggle(words, places, at, disc, word)
    for y in range(height):
        direction = y % 2
        for step in range(width):
            if y > 0 or step > 0:
                move = direction if step > 0 else 2
                below -= _toggle(words, places, at, leaving[move], word)
                at += steps[move]
                below += _toggle(words, places, at, entering[move], word)
            word, below, place = _find(words, word, below, half)
            out[y, width - 1 - step if direction else step] = values[place]


@njit(nogil=True, cache=True)
def _median_band(
    bits: NDArray[np.uint32],
    moves: tuple[Indices, Indices, Indices],
    side: int,
    out: NDArray[np.uint32],
    start: int,
    stop: int,
) -> None:
    width, around = out.shape[1], bits.shape[1] - out.shape[1]
    for top in range(start, stop, side):
        bottom = min(top + side, stop)
        for left in range(0, width, side):
            right = min(left + side, width)
            tile = bits[top : bottom + around, left : right + around]
            _median_tile(tile, moves, side + around, out[top:bottom, left:right])


def _moves(halves: Indices, pitch: int) -> tuple[Indices, Indices, Indices]:
    rows = np.arange(len(halves)) - len(halves) // 2
    disc = np.concatenate([y * pitch + np.arange(-half, half + 1) for y, half in zip(rows, halves, strict=True)])
    # The disc looks the same from the side.
    right, below = rows * pitch + halves, halves * pitch + rows
    left, above = rows * pitch - halves, rows - halves * pitch
    return disc, np.stack([left, right, above]), np.stack([right, left, below])


def disc_medians(pixels: NDArray[Any], radius: float) -> Floats:
    """Return the median of the disc around each pixel.

    Parameters
    ----------
    pixels
        YX; uint8, uint16 or float32.
    radius
        Of the disc [px], see `disc.half_widths`.
    """
    halves = half_widths(radius)
    far = len(halves) // 2
    bits = pad_edges(pixels, far).view(np.uint32)
    points = int(np.sum(2 * halves + 1))
    side = max(_SMALLEST_TILE, math.isqrt(_PLACES_PER_POINT * points) - 2 * far)
    moves = _moves(halves, side + 2 * far)
    out = np.empty(pixels.shape, dtype=np.uint32)
    over_bands(lambda start, stop: _median_band(bits, moves, side, out, start, stop), len(out))
    return out.view(np.float32)


@njit(nogil=True, cache=True)
def select(values: Floats, n: int) -> Any:
    """Return the n-th smallest value (from 0) by Hoare's partitions; afterwards no value before it is larger."""
    first, last = 0, len(values) - 1
    while first < last:
        pivot = values[n]
        i, j = first, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < n:
            first = i
        if n < i:
            last = j
    return values[n]


@njit(nogil=True, cache=True)
def _medians_at(
    padded: Floats, halves: Indices, at: tuple[Indices, Indices], out: Floats, span: tuple[int, int]
) -> None:
    far = len(halves) // 2
    values = np.empty((2 * halves + 1).sum(), np.float32)
    for index in range(span[0], span[1]):
        y, x = at[0][index], at[1][index]
        count = 0
        for k in range(len(halves)):
            for column in range(x + far - halves[k], x + far + halves[k] + 1):
                values[count] = padded[y + k, column]
                count += 1
        out[index] = select(values, count // 2)


def disc_medians_at(pixels: NDArray[Any], radius: float, at: tuple[NDArray[Any], ...]) -> Floats:
    """Return the median of the disc around some pixels, each on its own: for few pixels.

    Parameters
    ----------
    pixels
        YX; uint8, uint16 or float32.
    radius
        Of the disc [px], see `disc.half_widths`.
    at
        Rows and columns (n,).
    """
    halves = half_widths(radius)
    padded = pad_edges(pixels, len(halves) // 2)
    out = np.empty(len(at[0]), dtype=np.float32)
    over_bands(lambda start, stop: _medians_at(padded, halves, at, out, (start, stop)), len(out))
    return out
