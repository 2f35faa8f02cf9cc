"""Blind spots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from quietframe.training.masks import blind_spots, hide, neighbour_mean


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("percent", [0.2, 10, 50])
def test_the_share_of_hidden_pixels_is_the_one_asked_for(percent: float) -> None:
    mask = blind_spots((16, 1, 64, 64), percent, generator())
    p = percent / 100
    # binomial; 5 standard deviations
    assert mask.float().mean().item() == pytest.approx(p, abs=5 * (p * (1 - p) / mask.numel()) ** 0.5)


def test_the_mean_of_neighbours_is_the_convolution_without_the_centre() -> None:
    pictures = np.random.default_rng(1).normal(size=(2, 1, 12, 9)).astype(np.float32)
    kernel = np.array([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]]) / 6
    truth = [ndimage.convolve(picture, kernel, mode="mirror") for picture in pictures[:, 0]]
    np.testing.assert_allclose(neighbour_mean(torch.from_numpy(pictures))[:, 0], truth, atol=1e-6)


def test_what_stands_in_a_hidden_pixel_knows_nothing_of_it() -> None:
    pictures = torch.rand(1, 1, 16, 16)
    other = pictures.clone()
    other[0, 0, 5, 7] += 100
    assert torch.equal(neighbour_mean(pictures)[0, 0, 5, 7], neighbour_mean(other)[0, 0, 5, 7])


def test_only_hidden_pixels_change() -> None:
    pictures = torch.rand(4, 1, 32, 32)
    hidden, mask = hide(pictures, 10, generator())
    assert torch.equal(hidden[~mask], pictures[~mask])
    assert torch.equal(hidden[mask], neighbour_mean(pictures)[mask])


def test_the_same_seed_hides_the_same_pixels() -> None:
    first, second, third = (blind_spots((2, 1, 64, 64), 10, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
