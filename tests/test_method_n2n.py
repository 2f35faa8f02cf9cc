"""Noise2Noise: either direction, units, and one net for pictures of very different brightness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from quietframe.errors import OptionError
from quietframe.methods import n2n
from quietframe.training import loop
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job
from quietframe.training.patches import Batch, DataStatistics, NoiseLevel, collect, noise_terms
from quietframe.training.schedule import Schedule

READ_NOISE_E = 3.0
LEVEL = NoiseLevel(1.0, 2 * READ_NOISE_E**2)


def flux(size: int = 96) -> np.ndarray:
    """Return 0.2 to 2.2 e-/px/sub-frame."""
    blobs = ndimage.gaussian_filter(np.random.default_rng(0).random((size, size)) ** 8, 2)
    return 0.2 + 2 * (blobs - blobs.min()) / np.ptp(blobs)


def repeats(sub_frames: int, count: int = 4) -> np.ndarray:
    """Return differences of `sub_frames` [e-]: Poisson light and twice the variance of one read."""
    rng = np.random.default_rng(sub_frames)
    shape = (count, *flux().shape)
    return (rng.poisson(sub_frames * flux(), shape) + rng.normal(0, READ_NOISE_E * 2**0.5, shape)).astype(np.float32)


def learn(folder: Path, pictures: Any, settings: n2n.Settings, steps: int = 100) -> torch.nn.Module:
    schedule = Schedule(
        steps=steps, batch_size=8, patch_px=32, learning_rate=4e-3, validation_percent=0, precision="float32"
    )
    loop.train(Job("n2n", n2n, settings, schedule, pictures, folder / "run"))
    return load_trained(folder / "run").module


def denoise(module: torch.nn.Module, picture: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(picture)[None, None])[0, 0].numpy()


def statistics(noise: NoiseLevel | None = None, channels: int = 1) -> DataStatistics:
    stack = np.stack([repeats(20)] * channels, axis=1)
    return collect([stack], ["a"], noise=noise).statistics()


class Doubled(torch.nn.Module):
    """A net that notes what it is given and answers with twice that."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.given.append(x)
        return 2 * x


def test_each_of_two_repeats_is_the_input_of_about_half_the_patches_and_both_keep_their_counts() -> None:
    one, other = repeats(20, 2)
    stats = collect([one], ["a"], [3 * other + 500]).statistics()
    source, target = stats.source[0], stats.target[0]
    shape = (64, 1, 16, 16)
    here = torch.from_numpy((one[:16, :16] - source.center) / source.scale).expand(shape)
    there = torch.from_numpy((3 * other[:16, :16] + 500 - target.center) / target.scale).expand(shape)
    net = Doubled()
    n2n.loss(net, Batch(here, there, torch.Generator().manual_seed(1), stats), n2n.Settings(filters=4))
    counts = net.given[0].numpy()[:, 0] * source.scale + source.center
    straight = np.isclose(counts, one[:16, :16], atol=1e-2).all(axis=(1, 2))
    swapped = np.isclose(counts, 3 * other[:16, :16] + 500, atol=1e-2).all(axis=(1, 2))
    assert (straight ^ swapped).all()
    # 64 fair coins: 12 to 52 heads but for one run in 10 million
    assert 12 <= straight.sum() <= 52


def test_forward_leaves_the_direction_and_measures_the_plain_squared_error() -> None:
    stats = statistics()
    source, target = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    found = n2n.loss(Doubled(), Batch(source, target, torch.Generator(), stats), n2n.Settings(direction="forward"))
    assert found.item() == pytest.approx(((2 * source - target) ** 2).mean().item(), rel=1e-5)


def test_the_error_of_known_noise_is_in_units_of_what_wiener_leaves() -> None:
    stats = statistics(LEVEL)
    net = n2n.build(n2n.Settings(filters=2, depth=1), stats)
    torch.nn.init.zeros_(net.last.weight)  # type: ignore[union-attr, arg-type]
    torch.nn.init.zeros_(net.last.bias)  # type: ignore[union-attr, arg-type]
    scale, center = stats.source[0].scale, stats.source[0].center
    electrons = torch.full((1, 1, 16, 16), 50.0)
    batch = Batch(
        (electrons - center) / scale, (electrons + 7 - center) / scale, torch.Generator().manual_seed(0), stats
    )
    found = n2n.loss(net, batch, n2n.Settings(filters=2, depth=1, direction="forward"))
    # the variance of 50 e- is 50 + 2 * 9 = 68 e-^2; the net, correcting the local mean, says 50 times Wiener's weight
    error = (57 - 50 * 50**2 / (50**2 + 68)) ** 2
    # Wiener's estimate of a signal of power 50^2 in noise of 68 is left with 1 / (1 / 68 + 1 / 50^2)
    assert found.item() == pytest.approx(error * (1 / 68 + 1 / (50**2 + 68 / 512)), rel=1e-4)


def test_one_net_with_the_noise_level_serves_dim_and_bright_pictures(tmp_path: Path) -> None:
    lengths = (4, 200)
    stacks = [repeats(k) for k in lengths]
    pictures = collect(stacks, ["dim", "bright"], partners=True, noise=LEVEL)
    net = learn(tmp_path, pictures, n2n.Settings(filters=8))
    for k, stack in zip(lengths, stacks, strict=True):
        error, before = (np.mean((picture - k * flux()) ** 2) for picture in (denoise(net, stack[0]), stack[0]))
        # 5 dB each, although the variance of the bright ones is 15 times that of the dim ones
        assert error < 10**-0.5 * before


def test_the_denoiser_corrects_the_local_mean_by_multiples_of_the_predicted_noise() -> None:
    stats = statistics(LEVEL)
    settings = n2n.Settings(filters=2, depth=1)
    net = n2n.build(settings, stats)
    torch.nn.init.zeros_(net.last.weight)  # type: ignore[union-attr, arg-type]
    torch.nn.init.constant_(net.last.bias, 2.0)  # type: ignore[union-attr, arg-type]
    picture = repeats(20)[0]
    mean = ndimage.uniform_filter(picture.astype(float), 5)
    variance = np.maximum(mean, 0) + 2 * READ_NOISE_E**2
    expected = mean * mean**2 / (mean**2 + variance) + 2 * np.sqrt(variance)
    inner = (slice(2, -2),) * 2
    result = denoise(n2n.denoiser(net, settings, stats), picture)
    np.testing.assert_allclose(result[inner], expected[inner], rtol=1e-4)  # float32


def test_targets_of_other_units_are_learned_forward(tmp_path: Path) -> None:
    one, other = repeats(50, 2)
    pictures = collect([one], ["a"], [3 * other + 500])
    result = denoise(learn(tmp_path, pictures, n2n.Settings(filters=8, direction="forward")), one)
    error = np.mean(((result - 500) / 3 - 50 * flux()) ** 2)
    assert error < 10**-0.5 * np.mean((one - 50 * flux()) ** 2)


def test_the_noise_level_is_told_where_it_is_known_unless_switched_off() -> None:
    assert noise_terms(statistics(LEVEL)) is not None
    for stats, setting, told in (
        (statistics(LEVEL), "auto", True), (statistics(LEVEL), "on", True), (statistics(LEVEL), "off", False),
        (statistics(), "auto", False),
    ):  # fmt: skip
        assert (n2n.build(n2n.Settings(filters=2, noise_level=setting), stats).noise is not None) is told  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"direction": "back"}, "unknown direction 'back'"),
        ({"noise_level": "loud"}, "unknown noise level 'loud'"),
        ({"noise_level": "on"}, "--noise-level on: the noise of these pictures is not known"),
        ({"filters": 0}, "--filters 0: give 1 to 512"),
        ({"depth": 9}, "--depth 9: give 1 to 4"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        n2n.build(n2n.Settings(**settings), statistics())


def test_pictures_of_two_channels_and_targets_of_one_are_no_repeats() -> None:
    stack = np.stack([repeats(20)] * 2, axis=1)
    stats = collect([stack], ["a"], [stack[:, :1]]).statistics()
    with pytest.raises(OptionError, match="pictures of 2 channels and targets of 1 are no repeats"):
        n2n.build(n2n.Settings(), stats)
    assert n2n.build(n2n.Settings(direction="forward"), stats)(torch.zeros(1, 2, 8, 8)).shape == (1, 1, 8, 8)
