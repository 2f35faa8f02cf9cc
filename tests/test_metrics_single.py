"""Report SNR and PSNR' against exact rational arithmetic, brute force and hand-made images."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError, OptionError
from quietframe.metrics.single import (
    Block,
    brightest_block,
    darkest_block,
    psnr_prime,
    region_statistics,
    report_snr,
)

VECTORS = Path(__file__).parent / "vectors" / "roi_statistics.json"


def _hash_image(height: int, width: int, seed: int, bright: int) -> list[list[int]]:
    """Make a picture by integer arithmetic alone, so that any language can: a bright square on a noisy ground."""
    rows = []
    for y in range(height):
        row = []
        for x in range(width):
            noise = ((x * 73 + y * 151 + seed * 37) * (x + 3 * y + seed + 11)) % 23
            inside = width // 2 <= x < width - 2 and height // 3 <= y < 2 * height // 3
            row.append(100 + noise + (bright if inside else 0))
        rows.append(row)
    return rows


def _pixels(image: list[list[float]], rectangle: list[int]) -> list[Fraction]:
    x, y, width, height = rectangle
    return [Fraction(image[j][i]) for j in range(y, y + height) for i in range(x, x + width)]


def _exact(image: list[list[float]], bright: list[int], dark: list[int]) -> dict[str, float]:
    """Rational sums; the square root is the only rounded step."""
    high, low = _pixels(image, bright), _pixels(image, dark)
    mean_bright, mean_dark = sum(high) / len(high), sum(low) / len(low)
    variance = sum((value - mean_dark) ** 2 for value in low) / (len(low) - 1)
    std = math.sqrt(variance)
    top = max(Fraction(value) for row in image for value in row)
    return {
        "mean_bright": float(mean_bright),
        "mean_dark": float(mean_dark),
        "std_dark": std,
        "snr": float(mean_bright) / std,
        "snr_background_subtracted": float(mean_bright - mean_dark) / std,
        "psnr_prime": float(top) / std,
    }


def _darkest_by_brute_force(image: list[list[float]], size: int) -> list[int]:
    height, width = len(image), len(image[0])
    places = [(x, y) for y in range(height - size + 1) for x in range(width - size + 1)]
    x, y = min(places, key=lambda place: (sum(_pixels(image, [*place, size, size])), place[1], place[0]))
    return [x, y, size, size]


def _cases() -> list[dict[str, Any]]:
    """Images, rectangles x,y,width,height from 0, and what must come out."""
    images: list[tuple[str, str, list[list[Any]], list[int], list[int]]] = [
        ("three by four by hand", "uint8", [[1, 2, 3, 40], [2, 1, 3, 50], [3, 2, 1, 60]], [3, 0, 1, 3], [0, 0, 3, 3]),
        ("regions of two pixels", "uint8", [[10, 12, 200, 210]], [2, 0, 2, 1], [0, 0, 2, 1]),
        ("sixteen bit", "uint16", _hash_image(20, 24, 1, 40000), [13, 7, 8, 5], [1, 1, 9, 17]),
        ("darkest block of 17", "uint16", _hash_image(24, 30, 2, 700), [16, 9, 10, 6], [2, 3, 5, 5]),
        # Eighths are exact in float32; negative values as in a difference image.
        (
            "difference image with negative values",
            "float32",
            [[(value - 108) / 8 for value in row] for row in _hash_image(21, 19, 3, 300)],
            [9, 7, 8, 6],
            [0, 0, 7, 21],
        ),
        (
            "large offset, small noise",
            "float32",
            [[value + 60000.25 for value in row] for row in _hash_image(18, 18, 4, 50)],
            [9, 6, 6, 5],
            [0, 0, 8, 18],
        ),
    ]
    cases = []
    for name, dtype, image, bright, dark in images:
        case = {"name": name, "dtype": dtype, "image": image, "bright": bright, "dark": dark}
        case |= {"expected": _exact(image, bright, dark)}
        if min(len(image), len(image[0])) >= 17:
            block = _darkest_by_brute_force(image, 17)
            case["expected"] |= {
                "darkest_block_17": block,
                "psnr_prime_darkest_block_17": _exact(image, bright, block)["psnr_prime"],
            }
        cases.append(case)
    return cases


def _document() -> dict[str, Any]:
    return {
        "about": "ROI statistics that Python and Fiji must reproduce to 1e-6. Rectangles are x, y, width, height, "
        "counted from 0. Standard deviations are sample standard deviations (n - 1). snr = mean(bright) / std(dark); "
        "psnr_prime = max(image) / std(dark). Written by tests/test_metrics_single.py with exact rational arithmetic.",
        "cases": _cases(),
    }


def write_vectors() -> None:
    """Write the vectors file anew, after a change of the cases; the test below holds the two equal."""
    text = json.dumps(_document(), indent=1)
    one_line = re.sub(r"\[[^\[\]]*\]", lambda row: re.sub(r"\s+", " ", row[0].replace("\n", " ")), text)
    VECTORS.write_text(one_line + "\n", encoding="utf-8")


def test_vectors_file_is_what_exact_arithmetic_gives(vectors: Callable[[str], Any]) -> None:
    assert vectors("roi_statistics.json") == json.loads(json.dumps(_document()))


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case["name"])
def test_roi_numbers_equal_exact_arithmetic(case: dict[str, Any]) -> None:
    image = np.array(case["image"], dtype=case["dtype"])
    bright, dark = (Block(*case[key]).mask(image.shape) for key in ("bright", "dark"))
    expected = case["expected"]
    # Two-pass float64 statistics: a few ulp of the mean over the deviation, 6e4 / 5 * 2e-16 at worst.
    close = {"rel": 1e-11}
    assert report_snr(image, bright, dark) == pytest.approx(expected["snr"], **close)
    assert report_snr(image, bright, dark, subtract_background=True) == pytest.approx(
        expected["snr_background_subtracted"], **close
    )
    assert psnr_prime(image, dark) == pytest.approx(expected["psnr_prime"], **close)
    statistics = region_statistics(image, dark)
    assert statistics.std == pytest.approx(expected["std_dark"], **close)
    assert statistics.n_pixels == case["dark"][2] * case["dark"][3]
    if "darkest_block_17" in expected:
        assert darkest_block(image) == Block(*expected["darkest_block_17"])
        assert psnr_prime(image) == pytest.approx(expected["psnr_prime_darkest_block_17"], **close)


def test_offset_changes_snr_but_not_the_background_subtracted_one(rng: np.random.Generator) -> None:
    image = rng.normal(50, 3, (40, 40))
    bright, dark = Block(20, 20, 10, 10).mask((40, 40)), Block(0, 0, 15, 15).mask((40, 40))
    assert report_snr(image + 100, bright, dark) > 2 * report_snr(image, bright, dark)
    subtracted = [report_snr(image + offset, bright, dark, subtract_background=True) for offset in (0, 100)]
    # The difference of means is about 0.5 out of 150: cancellation leaves about 1e-13.
    assert subtracted[0] == pytest.approx(subtracted[1], rel=1e-9)


@pytest.mark.parametrize("size", [2, 5, 17])
def test_blocks_are_those_that_brute_force_finds(size: int, rng: np.random.Generator) -> None:
    image = rng.integers(0, 4000, (23, 29))
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size)).sum(axis=(2, 3))
    for block, index in (
        (darkest_block(image, size), windows.argmin()),
        (brightest_block(image, size), windows.argmax()),
    ):
        assert (block.y, block.x) == divmod(int(index), windows.shape[1])
        assert (block.width, block.height) == (size, size)


def test_equal_blocks_give_the_first_one() -> None:
    assert darkest_block(np.full((20, 20), 7.5)) == Block(0, 0, 17, 17)


def test_finite_regions_may_lie_beside_nan() -> None:
    image = np.arange(36, dtype=np.float32).reshape(6, 6)
    image[5, 5] = np.nan
    bright, dark = Block(0, 3, 2, 2).mask((6, 6)), Block(0, 0, 2, 2).mask((6, 6))
    # dark = 0, 1, 6, 7: mean 3.5, variance 37 / 3; bright = 18, 19, 24, 25: mean 21.5.
    assert report_snr(image, bright, dark) == pytest.approx(21.5 / math.sqrt(37 / 3))


RAMP = np.arange(400, dtype=np.float64).reshape(20, 20)
NAN = np.where(RAMP == 25, np.nan, RAMP)
LEFT, RIGHT = Block(0, 0, 8, 8).mask((20, 20)), Block(10, 0, 8, 8).mask((20, 20))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: report_snr(RAMP, LEFT, Block(3, 3, 1, 1).mask((20, 20))), "dark region has 1 pixel; .* at least 2"),
        (lambda: report_snr(RAMP, np.zeros((20, 20), bool), RIGHT), "bright region has 0 pixels"),
        (lambda: report_snr(RAMP, LEFT[:10], RIGHT), r"shape \(10, 20\), the image \(20, 20\)"),
        (lambda: report_snr(np.full((20, 20), 7.0), LEFT, RIGHT), "constant .*all 64 pixels are 7, std 0"),
        # 64 times 0.1 is rounded: NumPy gives their standard deviation as 1e-17
        (lambda: report_snr(np.full((20, 20), 0.1), LEFT, RIGHT), "constant .*all 64 pixels are 0.1, std 0"),
        (lambda: report_snr(np.full((20, 20), 1e300), LEFT, RIGHT), r"pixels beyond 1e\+150, whose squares overflow"),
        (lambda: psnr_prime(RAMP * 1e300), "whose squares overflow"),
        (lambda: report_snr(NAN, LEFT, RIGHT), "1 of 64 pixels of the bright region are NaN"),
        (lambda: psnr_prime(NAN), "1 of 400 pixels of the image are NaN"),
        (lambda: psnr_prime(np.where(RAMP == 399, np.inf, RAMP), LEFT), "NaN or infinite"),
        (lambda: psnr_prime(np.zeros((20, 20))), "constant"),
        (lambda: psnr_prime(np.ones((1, 1))), "does not fit into an image of 1 x 1"),
        (lambda: darkest_block(RAMP[:5]), "17 x 17 pixels does not fit into an image of 20 x 5"),
        (lambda: darkest_block(np.zeros((20, 20, 3))), r"one gray plane .* shape \(20, 20, 3\)"),
        (lambda: darkest_block(np.zeros((0, 20))), r"shape \(0, 20\)"),
        (lambda: darkest_block(RAMP.astype(complex)), "complex128"),
        (lambda: Block(15, 0, 8, 8).mask((20, 20)), "15,0,8,8 .* is not inside an image of 20 x 20"),
        (lambda: Block(0, 0, 0, 8).mask((20, 20)), "0,0,0,8"),
    ],
)
def test_bad_regions_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_block_size_below_two_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 2 pixels; got 1"):
        darkest_block(RAMP, 1)
