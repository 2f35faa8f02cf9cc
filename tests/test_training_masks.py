"""Blind spots."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from quietframe.training.masks import blind_spots, grid_spots, hide, hide_neighbourhoods, neighbour_mean


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


def test_the_mean_of_neighbours_in_a_volume_is_weighted_by_the_inverse_square_of_their_distance() -> None:
    volume = np.random.default_rng(1).normal(size=(1, 1, 5, 7, 6)).astype(np.float32)
    z, y, x = np.indices((3, 3, 3)) - 1
    kernel = np.divide(1, z**2 + y**2 + x**2, where=(z**2 + y**2 + x**2) > 0, out=np.zeros((3, 3, 3)))
    truth = ndimage.convolve(volume[0, 0], kernel / kernel.sum(), mode="mirror")
    np.testing.assert_allclose(neighbour_mean(torch.from_numpy(volume))[0, 0], truth, atol=1e-6)


@pytest.mark.parametrize("radius", [1, 3])
@pytest.mark.parametrize("replace", ["median", "uniform"])
@pytest.mark.parametrize("shape", [(2, 1, 12, 9), (1, 2, 4, 12, 9)])
def test_what_replaces_a_pixel_comes_from_the_window_around_it(
    shape: tuple[int, ...], replace: str, radius: int
) -> None:
    pictures = torch.randperm(int(np.prod(shape)), generator=generator()).reshape(shape).float()  # no value twice
    hidden, mask = hide(pictures, 30, generator(1), replace, radius)
    assert torch.equal(hidden[~mask], pictures[~mask])
    planes, results, masks = (part.reshape(-1, 12, 9).numpy() for part in (pictures, hidden, mask))
    for plane, result, spots in zip(planes, results, masks, strict=True):
        steps = [step for step in itertools.product(range(-radius, radius + 1), repeat=2) if any(step)]
        for y, x in np.argwhere(spots):
            # beyond the border, the pixel on the other side
            rows = [y + dy if 0 <= y + dy < 12 else y - dy for dy, _ in steps]
            columns = [x + dx if 0 <= x + dx < 9 else x - dx for _, dx in steps]
            window = plane[rows, columns]
            assert plane[y, x] not in window
            if replace == "uniform":
                assert result[y, x] in window
            else:  # torch takes the lower of the two middle values
                assert result[y, x] == np.sort(window)[(len(window) - 1) // 2]


@pytest.mark.parametrize("shape", [(6, 1, 32, 32), (4, 2, 8, 16, 16)])
def test_grids_hide_every_third_pixel_and_start_anywhere(shape: tuple[int, ...]) -> None:
    mask = grid_spots(shape, 3, generator())
    starts = set()
    for picture in mask:
        assert all(torch.equal(picture[0], channel) for channel in picture)
        places = [np.unique(axis) for axis in np.nonzero(picture[0].numpy())]
        assert all((np.diff(axis) == 3).all() and axis[0] < 3 for axis in places)
        starts.add(tuple(int(axis[0]) for axis in places))
    assert len(starts) > 1


PATTERNS = {
    "square": np.ones((5, 5), bool),
    "line": np.ones((1, 7), bool),
    "column": np.ones((7, 1), bool),
    "odd one out": np.array([[0, 0, 0], [0, 1, 1], [1, 0, 0]], bool),
}


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("margin", [0, 1])
@pytest.mark.parametrize("shape", [(3, 1, 40, 48), (1, 2, 3, 40, 48)])
def test_a_whole_neighbourhood_is_hidden_with_a_pixel(shape: tuple[int, ...], margin: int, name: str) -> None:
    pattern = PATTERNS[name]
    pictures = torch.randperm(int(np.prod(shape)), generator=generator()).reshape(shape).float()  # no value twice
    hidden, mask = hide_neighbourhoods(pictures, torch.from_numpy(pattern), margin, generator(2))
    planes, results, masks = (part.reshape(-1, 40, 48).numpy() for part in (pictures, hidden, mask))
    reach = np.array(pattern.shape) // 2
    for plane, result, spots in zip(planes, results, masks, strict=True):
        assert spots.sum() > 0.004 * spots.size
        around = ndimage.binary_dilation(spots, pattern)
        assert (result[~around] == plane[~around]).all()
        for y, x in np.argwhere(spots):
            for dy, dx in np.argwhere(pattern) - reach:
                if 0 <= y + dy < 40 and 0 <= x + dx < 48:
                    assert result[y + dy, x + dx] != plane[y + dy, x + dx]
