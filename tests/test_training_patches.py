"""From pictures to patches: checks, statistics, sampling, validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError
from quietframe.training.patches import Sampler, collect, measure

RNG = np.random.default_rng(7)
NOISY = RNG.poisson(20, (40, 48)).astype(np.uint16)


def numbered(*shape: int) -> np.ndarray:
    """Return a picture in which every pixel has a number of its own, exact in float32."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def changed(value: float, *, dtype: type = np.float32) -> np.ndarray:
    picture = NOISY.astype(dtype)
    picture[3, 5:7] = value
    return picture


@pytest.mark.parametrize(
    "sources, targets, message",
    [
        ([], None, "no picture"),
        ([NOISY[0]], None, r"shape \(48,\); training takes a plane"),
        ([np.zeros((2, 2, 3, 40, 40))], None, r"shape \(2, 2, 3, 40, 40\)"),
        ([np.zeros((0, 40))], None, r"shape \(0, 40\)"),
        ([NOISY.astype(complex)], None, "complex128"),
        ([changed(np.nan)], None, "a holds 2 pixels that are NaN or infinite"),
        ([changed(np.inf)], None, "a holds 2 pixels that are NaN or infinite"),
        ([np.full((40, 40), 7, np.uint8)], None, "a is constant .every pixel is 7"),
        ([NOISY], [np.zeros((40, 48))], "the target target of a is zero everywhere"),
        ([NOISY], [np.full((40, 48), 3.0)], "target of a is constant"),
        ([NOISY], [NOISY[:, :40]], "a is 40 x 48 px, target of a is 40 x 40 px"),
        ([NOISY], [np.stack([NOISY, NOISY])], "40 x 48 px, target of a is 40 x 48 px x 2 planes"),
        ([NOISY], [NOISY, NOISY], "1 pictures but 2 targets"),
        ([NOISY], [changed(np.nan)], "target of a holds 2 pixels"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(sources: Any, targets: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        collect(sources, ["a"] * len(sources), targets)


def test_a_target_that_is_the_input_is_noted() -> None:
    pictures = collect([NOISY], ["a"], [NOISY.copy()])
    assert "target of a is the same picture as a" in pictures.notes[0]
    assert collect([NOISY], ["a"], [NOISY + 1]).notes == ()


def test_statistics_of_many_pictures_are_those_of_all_pixels() -> None:
    stacks = [RNG.normal(5, 2, (3, 20, 30)), RNG.normal(50, 9, (1, 40, 10))]
    pixels = np.concatenate([stack.ravel() for stack in stacks])
    stats = measure(stacks)
    np.testing.assert_allclose([stats.mean, stats.std], [pixels.mean(), pixels.std()], rtol=1e-12)
    np.testing.assert_allclose([stats.p01, stats.p50, stats.p999], np.percentile(pixels, [1, 50, 99.9]), rtol=1e-12)
    assert (stats.min, stats.max) == (pixels.min(), pixels.max())


def test_a_small_variance_on_a_large_offset_is_measured() -> None:
    stack = np.stack([np.tile([1e7, 1e7 + 1], (10, 5))] * 4)
    # half the pixels are 1 above the others: standard deviation 1/2; float64 keeps 1e7 to 2e-9
    assert measure([stack]).std == pytest.approx(0.5, rel=1e-6)


def test_percentiles_of_a_large_stack_come_from_evenly_spread_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = RNG.permutation(40_000).astype(np.float32).reshape(4, 100, 100)
    monkeypatch.setattr("quietframe.training.statistics.PERCENTILE_PIXELS", 4_000)
    # the median of 4000 uniform draws has the standard deviation 40000 / (2 sqrt(4000)) = 316; 5 of them
    assert measure([stack]).p50 == pytest.approx(20_000, abs=5 * 316)


def test_hot_pixels_do_not_spoil_the_normalisation() -> None:
    picture = RNG.normal(100, 5, (1, 100, 100))
    clean = measure([picture])
    picture[0, 50, 50:54] = 60_000  # 0.04 % of the pixels, below the 0.1 % that are clipped
    stats = measure([picture])
    assert stats.std > 50 * clean.std
    assert stats.scale == pytest.approx(clean.scale, rel=0.02)
    assert stats.center == pytest.approx(clean.center, rel=0.001)


def test_a_picture_of_few_bright_pixels_is_normalised_by_them() -> None:
    picture = np.zeros((1, 100, 100))
    picture[0, 50, 50] = 1000.0
    stats = measure([picture])
    assert (stats.center, stats.scale) == (stats.mean, stats.std)


def test_patches_depend_on_seed_and_step_alone() -> None:
    pictures = collect([NOISY], ["a"])
    first, second = Sampler(pictures, 16, 4, 0, seed=1), Sampler(pictures, 16, 4, 0, seed=1)
    second.batch(0)
    np.testing.assert_array_equal(first.batch(5)[0], second.batch(5)[0])
    assert not np.array_equal(first.batch(5)[0], first.batch(6)[0])
    assert not np.array_equal(first.batch(5)[0], Sampler(pictures, 16, 4, 0, seed=2).batch(5)[0])


def test_training_never_sees_a_held_out_pixel() -> None:
    stack = numbered(2, 96, 130)
    sampler = Sampler(collect([stack], ["a"]), 16, 8, 10, seed=3)
    held = np.concatenate([source.ravel() for source, _ in sampler.validation()])
    # 2 planes of 6 x 8 patches, a tenth of them
    assert len(held) == round(96 / 10) * 16 * 16
    seen = np.unique([sampler.batch(step)[0] for step in range(300)])
    assert not np.isin(held, seen).any()
    # 2400 patches reach every pixel but the held-out ones and those between them and the border
    assert len(seen) > 0.8 * (stack.size - len(held))


def test_when_chance_finds_no_free_place_the_grid_gives_one() -> None:
    sampler = Sampler(collect([numbered(1, 64, 64)], ["a"]), 16, 32, 50, seed=3)
    held = np.concatenate([source.ravel() for source, _ in sampler.validation()])
    assert not np.isin(held, [sampler.batch(step)[0] for step in range(20)]).any()


@pytest.mark.parametrize("shape, percent, patches", [((48, 32), 5, 0), ((64, 32), 5, 1), ((64, 32), 0, 0)])
def test_validation_needs_eight_patches(shape: tuple[int, int], percent: float, patches: int) -> None:
    assert len(Sampler(collect([numbered(*shape)], ["a"]), 16, 4, percent, seed=0).held_out) == patches


def test_patches_are_turned_and_flipped_in_all_eight_ways_and_pairs_alike() -> None:
    picture = numbered(16, 16)
    sampler = Sampler(collect([picture], ["a"], [2 * picture + 1]), 16, 16, 0, seed=4)
    ways = {np.rot90(side, turn).tobytes() for side in (picture, picture[::-1]) for turn in range(4)}
    seen = set()
    for step in range(20):  # 320 patches: all eight but for a chance of 8 * (7/8)**320 = 2e-18
        sources, targets = sampler.batch(step)
        assert targets is not None
        np.testing.assert_array_equal(targets, 2 * sources + 1)
        seen |= {patch.tobytes() for patch in sources[:, 0]}
    assert seen == ways


def test_pictures_of_different_size_are_drawn_by_their_area() -> None:
    pictures = collect([numbered(31, 31), numbered(3, 31, 31) + 1e5], ["a", "b"])
    sampler = Sampler(pictures, 16, 100, 0, seed=5)
    share = np.mean([(sampler.batch(step)[0].min(axis=(1, 2, 3)) >= 1e5).mean() for step in range(10)])
    # 3 of 4 planes are b's; binomial standard deviation of 1000 draws 0.0137, 4 of them
    assert share == pytest.approx(0.75, abs=4 * 0.0137)


@pytest.mark.parametrize(
    "shape, message",
    [((40, 500), r"a is 40 x 500 px, smaller than a patch of 64 px; give --patch-px 40"), ((9, 99), "leave it out")],
)
def test_a_picture_smaller_than_a_patch_is_refused(shape: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampler(collect([numbered(*shape)], ["a"]), 64, 4, 0, seed=0)


def test_the_sample_is_the_middle_of_the_picture() -> None:
    stack = numbered(3, 200, 100)
    np.testing.assert_array_equal(collect([stack], ["a"]).sample(), stack[1, 36:164])
