"""The zero-shot net: the two halves of a picture, the loss, and what it takes and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quietframe.errors import OptionError
from quietframe.methods import zero_shot
from quietframe.training.patches import Batch, DataStatistics, collect

STATS = collect([np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)], ["a"]).statistics()


def batch(source: torch.Tensor) -> Batch:
    return Batch(source, None, torch.Generator(), STATS)


def test_the_halves_are_the_means_of_the_two_diagonals_of_each_block() -> None:
    rising, falling = zero_shot.halves(torch.tensor([[1.0, 2, 5, 6], [3, 4, 7, 8]])[None, None])
    np.testing.assert_array_equal(rising[0, 0], [[2.5, 6.5]])  # (3 + 2) / 2, (7 + 6) / 2
    np.testing.assert_array_equal(falling[0, 0], [[2.5, 6.5]])  # (1 + 4) / 2, (5 + 8) / 2
    single = torch.zeros(1, 1, 2, 2)
    single[0, 0, 0, 0] = 4
    assert [half.item() for half in zero_shot.halves(single)] == [0, 2]


def test_the_halves_of_white_noise_are_independent_of_half_its_variance() -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 1, 512, 512)).astype(np.float32))
    rising, falling = (half.numpy().ravel() for half in zero_shot.halves(noise))
    # 65 536 pixels: a correlation is known to 1 / 256, a variance to sqrt(2 / 65536) = 0.55 %; 4 standard deviations
    assert abs(np.corrcoef(rising, falling)[0, 1]) < 0.016
    assert [rising.var(), falling.var()] == pytest.approx([0.5, 0.5], rel=0.022)


def test_a_net_that_changes_nothing_pays_for_the_noise_of_the_halves_and_is_consistent() -> None:
    source = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 1, 32, 32)).astype(np.float32))
    rising, falling = zero_shot.halves(source)
    found = zero_shot.loss(torch.nn.Identity(), batch(source), zero_shot.Settings()).item()
    assert found == pytest.approx(((rising - falling) ** 2).mean().item(), rel=1e-5)


def test_a_net_that_answers_by_size_pays_for_the_inconsistency() -> None:
    class BySize(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full_like(x, 1.0 if x.shape[-1] == 16 else 4.0)

    source = torch.zeros(2, 1, 32, 32)
    with_it = zero_shot.loss(BySize(), batch(source), zero_shot.Settings()).item()
    without = zero_shot.loss(BySize(), batch(source), zero_shot.Settings(consistency=0)).item()
    # halves: 1 against 0, twice, over 2; full size: 4 against 1, twice, over 2
    assert (without, with_it) == (pytest.approx(1), pytest.approx(1 + 9))


def test_volumes_and_weights_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="zero_shot halves planes: leave --patch-z out"):
        zero_shot.build(zero_shot.Settings(), DataStatistics(STATS.source, STATS.target, dims=3))
    with pytest.raises(OptionError, match="--consistency -1: give 0 to 10"):
        zero_shot.build(zero_shot.Settings(consistency=-1), STATS)
