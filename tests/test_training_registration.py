"""Pairs that lie beside each other: the shift is measured, said, and not invented where there is no structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from quietframe.errors import InputError
from quietframe.images import read_image
from quietframe.training.patches import collect
from quietframe.training.registration import FEWEST, measure_shift


def scene(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Return blobs of about 3 px, 5 to 60 counts, wider than the pictures cut out of it."""
    noise = ndimage.gaussian_filter(rng.normal(size=(size + 80, size + 80)), 3)
    return np.asarray(5 + 55 * (noise - noise.min()) / np.ptp(noise))


def moved(picture: np.ndarray, y: float, x: float, size: int = 256) -> np.ndarray:
    """Return the scene with its content moved down by y and right by x."""
    return np.asarray(ndimage.shift(picture, (y, x), order=5, mode="reflect")[40 : 40 + size, 40 : 40 + size])


@pytest.mark.parametrize("y, x", [(0.0, 0.0), (1.5, 0.0), (-1.3, 2.4), (6.0, -3.0), (0.0, 12.0)])
def test_a_shift_of_noisy_pictures_is_found(y: float, x: float, rng: np.random.Generator) -> None:
    whole = scene(rng)
    source, target = rng.poisson(moved(whole, 0, 0)), rng.poisson(moved(whole, y, x))
    shift = measure_shift(source[None, None], target[None, None])
    # steps of 0.1 px, and the noise of the median of five crops, 0.15 px each way in trials with other seeds
    assert (shift.y, shift.x) == pytest.approx((y, x), abs=0.5)
    assert shift.is_seen == (np.hypot(y, x) >= 0.5)


def test_a_target_beside_its_source_is_said_with_the_number(rng: np.random.Generator) -> None:
    whole = scene(rng)
    source, target = rng.poisson(moved(whole, 0, 0)), rng.poisson(moved(whole, 2.4, -5.4))
    (note,) = collect([source], ["a.tif"], [target], ["b.tif"]).notes
    assert note.startswith("warning: b.tif lies 2.")
    assert "px below and 5." in note
    assert note.endswith("px left of a.tif: a net learns the shift; align them first")
    assert collect([source], ["a.tif"], [rng.poisson(moved(whole, 0, 0))]).notes == ()


def test_repeats_that_move_are_said(rng: np.random.Generator) -> None:
    whole = scene(rng)
    stack = np.stack([rng.poisson(moved(whole, 0.62 * number, 0)) for number in range(5)])
    (note,) = collect([stack], ["a.tif"], partners=True).notes
    assert "the last of them lies 2." in note
    assert "px below" in note
    assert note.endswith("of the first of a.tif: repeats must not move; align them")


def test_another_place_is_refused(rng: np.random.Generator) -> None:
    whole = scene(rng)
    with pytest.raises(InputError, match=r"lies .* px below and .* of a\.tif: they do not show the same place"):
        collect([moved(whole, 0, 0)], ["a.tif"], [moved(whole, 38, 3)], ["b.tif"])


@pytest.mark.parametrize("size", [32, 48, 64, 200])
def test_noise_alone_has_no_shift(size: int, rng: np.random.Generator) -> None:
    for _ in range(8):
        pair = rng.poisson(9, (2, 1, 1, size, size))
        assert not measure_shift(*pair).is_seen


def test_constant_pictures_have_no_shift() -> None:
    flat = np.full((1, 1, 64, 64), 3.0)
    shift = measure_shift(flat, flat)
    assert shift.crops < FEWEST
    assert not shift.is_seen


@pytest.mark.parametrize("name", ["Confocal_FISH", "TwoPhoton_MICE", "Confocal_BPAE_G", "WideField_BPAE_G"])
def test_real_repeats_lie_on_each_other_and_a_shift_of_them_is_seen(name: str, data_dir: Path) -> None:
    first, second = (
        read_image(data_dir / "fmd" / f"{name}_{which}.png").array[None, None, 60:, 60:] for which in ("raw1", "gt")
    )
    assert not measure_shift(first, second).is_seen
    shift = measure_shift(first[..., :-4, :-3], second[..., 4:, 3:])  # the content moves up and left
    assert (shift.y, shift.x) == pytest.approx((-4, -3), abs=0.5)
    assert shift.is_seen
