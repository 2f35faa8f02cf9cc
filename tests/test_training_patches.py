"""From pictures to patches: checks, statistics, sampling, validation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError
from quietframe.methods import n2v
from quietframe.training.grid import Grid
from quietframe.training.loop import Job, train
from quietframe.training.patches import NoiseLevel, Sampler, collect, measure, noise_terms, normalise
from quietframe.training.schedule import Schedule

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


def turns(patch: np.ndarray) -> set[bytes]:
    """Return a patch (Z, Y, X) turned by quarters in YX and mirrored in Y and Z: all 16 ways."""
    mirrored = [patch[::z, ::y] for z in (1, -1) for y in (1, -1)]
    return {np.rot90(side, turn, axes=(-2, -1)).tobytes() for side in mirrored for turn in range(4)}


def test_volumes_are_never_turned_out_of_their_planes() -> None:
    volume = numbered(2, 4, 16, 16)  # two channels
    sampler = Sampler(collect([volume[None]], ["a"], dims=3), (4, 16, 16), 16, 0, seed=4)
    seen = set()
    for step in range(20):  # 320 patches: all sixteen but for a chance of 16 * (15/16)**320 = 2e-8
        for first, second in sampler.batch(step)[0]:
            seen.add(first.tobytes())
            np.testing.assert_array_equal(second, first + 4 * 16 * 16)
    assert len(seen) == 16
    assert seen == turns(volume[0])


def test_volumes_and_channels_are_cut_and_held_out_like_planes() -> None:
    volume = numbered(2, 3, 12, 40, 48)
    pictures = collect([volume], ["a"], [2 * volume[:, :1]], dims=3)
    sampler = Sampler(pictures, (4, 16, 16), 4, 10, seed=3)
    held = np.concatenate([source.ravel() for source, _ in sampler.validation()])
    assert len(held) == round(2 * 3 * 2 * 3 / 10) * 3 * 4 * 16 * 16
    for step in range(50):
        source, target = sampler.batch(step)
        assert target is not None
        assert source.shape == (4, 3, 4, 16, 16)
        np.testing.assert_array_equal(target[:, 0], 2 * source[:, 0])
        assert not np.isin(held, source).any()


def test_channels_are_measured_and_normalised_one_by_one() -> None:
    stack = np.stack([RNG.normal(5, 2, (4, 40, 40)), RNG.normal(900, 70, (4, 40, 40))], axis=1)
    stats = collect([stack], ["a"]).statistics()
    assert (stats.in_channels, stats.out_channels) == (2, 2)
    for number, channel in enumerate(stats.source):
        pixels = stack[:, number]
        assert channel.mean == pytest.approx(pixels.mean(), rel=1e-12)
        assert channel.std == pytest.approx(pixels.std(), rel=1e-12)
        wanted = np.percentile(pixels, [1, 3, 50, 99.8, 99.9])
        np.testing.assert_allclose([channel.p01, channel.p03, channel.p50, channel.p998, channel.p999], wanted)
        clipped = np.clip(pixels, channel.p01, channel.p999)
        assert (channel.center, channel.scale) == pytest.approx((clipped.mean(), clipped.std()), rel=1e-12)
    normal = normalise(stack.astype(np.float32), stats.source)
    # clipping takes 0.1 and 1 % of the tails away
    np.testing.assert_allclose(normal.mean((0, 2, 3)), 0, atol=0.02)
    np.testing.assert_allclose(normal.std((0, 2, 3)), 1, atol=0.05)
    plain = stats.to_dict()
    assert plain["mean"] == stats.source[0].mean
    assert [channel["mean"] for channel in plain["channels"]] == [channel.mean for channel in stats.source]


def test_the_noise_of_a_normalised_picture_is_that_of_the_camera() -> None:
    signal = np.repeat(np.linspace(10, 400, 64), 2000).reshape(1, 64, -1)
    noisy = RNG.poisson(signal) + RNG.normal(0, 6, signal.shape)
    stats = collect([noisy], ["a"], noise=NoiseLevel(1.0, 36.0)).statistics()
    terms = noise_terms(stats)
    assert terms is not None
    channel = stats.source[0]
    clean = (signal - channel.center) / channel.scale
    variance = np.square((noisy - channel.center) / channel.scale - clean).mean(axis=(0, 2))
    # 2000 px each: relative scatter sqrt(2 / 2000) = 0.03
    np.testing.assert_allclose(variance, terms[0] * clean.mean(axis=(0, 2)) + terms[1], rtol=5 * 0.032)
    assert noise_terms(collect([noisy], ["a"]).statistics()) is None


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_processes_cut_their_shares_of_the_same_batch(ranks: int) -> None:
    sampler = Sampler(collect([numbered(2, 60, 60)], ["a"], [numbered(2, 60, 60) + 1]), 16, 8, 5, seed=5)
    whole = sampler.batch(7)
    parts = [sampler.batch(7, slice(rank * 8 // ranks, (rank + 1) * 8 // ranks)) for rank in range(ranks)]
    for number in (0, 1):
        np.testing.assert_array_equal(np.concatenate([np.asarray(part[number]) for part in parts]), whole[number])


def test_the_target_of_a_repeat_is_any_other_one_of_the_same_place() -> None:
    scene = numbered(64, 64)
    stack = np.stack([scene + 10_000 * number for number in range(3)])
    sampler = Sampler(collect([stack], ["a"], partners=True), 16, 16, 5, seed=1)
    held = np.concatenate([source.ravel() for source, _ in sampler.validation()]) % 10_000
    seen = set()
    for step in range(20):
        source, target = sampler.batch(step)
        assert target is not None
        apart = target - source
        np.testing.assert_array_equal(apart, np.broadcast_to(apart[:, :1, :1, :1], apart.shape))
        seen |= set(zip((source[:, 0, 0, 0] // 10_000).tolist(), (apart[:, 0, 0, 0] // 10_000).tolist(), strict=True))
        assert not np.isin(held, source % 10_000).any()  # the place is held out in all repeats
    assert seen == {(0, 1), (0, 2), (1, -1), (1, 1), (2, -2), (2, -1)}
    first, again = (list(sampler.validation()) for _ in range(2))
    np.testing.assert_array_equal(np.asarray(first[0][1]), np.asarray(again[0][1]))


def spots(planes: int) -> np.ndarray:
    """Return noise with a bright spot in one plane."""
    stack = RNG.poisson(10, (planes, 96, 96)).astype(np.float32)
    stack[1, 40:50, 60:70] += 200
    return stack


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_patches_are_drawn_by_brightness_as_often_as_asked(share: float) -> None:
    pictures = collect([spots(40)], ["a"])
    sampler = Sampler(pictures, 16, 32, 0, seed=3, foreground=share)
    assert sampler.notes == ()
    bright = np.mean([(sampler.batch(step)[0].max(axis=(1, 2, 3)) > 100).mean() for step in range(20)])
    # 640 draws, of which a share holds a cell with a part of the spot, and of the others 0.2 % see it by chance
    assert bright == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 640) + 0.005)
    np.testing.assert_array_equal(
        sampler.batch(4)[0], Sampler(pictures, 16, 32, 0, seed=3, foreground=share).batch(4)[0]
    )


def test_where_nothing_is_bright_patches_are_drawn_anywhere_and_it_is_said() -> None:
    dark = RNG.poisson(10, (4, 96, 96)).astype(np.float32)
    sampler = Sampler(collect([dark], ["a"]), 16, 32, 0, seed=3, foreground=1.0)
    assert "no place of the pictures is brighter than their noise" in sampler.notes[0]
    corners = np.concatenate([sampler._corners(np.random.default_rng(step)) for step in range(40)])
    assert len(set(corners[:, 1].tolist())) == 4
    # corners 0...80 at even chances: mean 40, sd 23.4; 1280 draws
    assert abs(corners[:, 2:].mean() - 40) < 5 * 23.4 / np.sqrt(2 * 1280)


def test_a_run_on_dark_pictures_says_that_there_is_no_foreground(tmp_path: Path) -> None:
    pictures = collect([RNG.poisson(10, (96, 96))], ["a"])
    schedule = Schedule(steps=1, batch_size=2, patch_px=16, foreground=0.5, precision="float32")
    state = train(Job("n2v", n2v, n2v.Settings(filters=2, depth=1), schedule, pictures, tmp_path / "run"))
    assert [note for note in state.notes if "--foreground has no effect" in note]


def test_a_batch_costs_less_than_a_hundredth_of_a_step() -> None:
    sampler = Sampler(collect([RNG.poisson(50, (20, 512, 512)).astype(np.uint16)], ["a"]), 64, 16, 5, seed=0)
    stats = sampler.pictures.statistics().source
    times = []
    for step in range(50):
        start = time.process_time()
        normalise(sampler.batch(step)[0], stats)
        times.append(time.process_time() - start)
    # 0.3 ms; a step of the net alone, on the same machine, takes 170 ms (float32) or 64 ms of CPU (bfloat16)
    assert np.median(times) < 0.01 * 0.17


def test_places_of_a_grid_are_numbered_without_a_list() -> None:
    pictures = collect([numbered(2, 50, 70), numbered(3, 33, 16) + 1], ["a", "b"])
    grid = Grid(pictures, (16, 16))
    assert len(grid) == 2 * 3 * 4 + 3 * 2 * 1
    wanted = [(0, n, y, x) for n in range(2) for y in (0, 16, 32) for x in (0, 16, 32, 48)]
    wanted += [(1, n, y, 0) for n in range(3) for y in (0, 16)]
    np.testing.assert_array_equal(grid.corners(np.arange(len(grid))), wanted)


@pytest.mark.parametrize(
    "picture, message",
    [
        (changed(1e300, dtype=np.float64), r"a holds 1e\+300, beyond float32"),
        (NOISY.astype(np.float64) * 1e-35, "too small for float32"),
        (2**40 + NOISY.astype(np.int64), r"a \(int64\) holds values up to .* float32.* has steps of 1.31e\+05 there"),
        (2**32 - 1 - NOISY.astype(np.uint32), r"a \(uint32\) holds values up to 42949672.*see if they wrapped"),
        (NOISY.astype(np.float64) + 1e9, r"a \(float64\) holds"),
    ],
)
def test_values_that_float32_cannot_tell_apart_are_refused(picture: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        collect([picture], ["a"])


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float16, np.float64]
)
def test_all_number_types_give_the_same_patches(dtype: type) -> None:
    one, other = (Sampler(collect([array], ["a"]), 16, 8, 5, seed=0) for array in (NOISY, NOISY.astype(dtype)))
    np.testing.assert_array_equal(one.batch(3)[0], other.batch(3)[0])
    assert one.pictures.statistics() == other.pictures.statistics()


def test_a_constant_picture_among_others_is_noted_and_does_no_harm() -> None:
    pictures = collect([NOISY, np.full((40, 48), 7, np.uint16)], ["a", "blank"])
    assert pictures.notes == ("blank is constant (every pixel is 7): its patches teach nothing",)
    normal = normalise(Sampler(pictures, 16, 64, 0, seed=0).batch(0)[0], pictures.statistics().source)
    assert np.isfinite(normal).all()
    assert (normal.std(axis=(1, 2, 3)) < 1e-6).any()  # patches of the blank one are among them
    with pytest.raises(InputError, match="all pictures are constant"):
        collect([np.zeros((40, 48)), np.zeros((40, 48))], ["a", "b"])
    with pytest.raises(InputError, match="channel 2 is constant in all pictures"):
        collect([np.stack([NOISY, np.zeros_like(NOISY)])[None]], ["a"])
    with pytest.raises(InputError, match="a has 1 channels and b has 2"):
        collect([NOISY, np.stack([NOISY, NOISY])[None]], ["a", "b"])


@pytest.mark.parametrize(
    "stack, message",
    [
        (NOISY, "one picture has no partner; give two or more of the same scene"),
        (np.stack([NOISY] * 3), "a holds 3 times the same picture"),
    ],
)
def test_repeats_that_are_none_are_refused(stack: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        collect([stack], ["a"], partners=True)


def test_repeats_that_are_partly_the_same_are_noted() -> None:
    notes = collect([np.stack([NOISY, NOISY, NOISY + 1])], ["a"], partners=True).notes
    assert notes == ("warning: a holds 3 pictures, of which only 2 differ",)


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
