"""Principal components of a whole stack and of small blocks, and the law by which noise is told from signal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.errors import OptionError
from quietframe.filters import load_filter
from quietframe.kernels.low_rank import filter_matrices, noise_of_spectrum, spectrum_weights

Array = NDArray[Any]


def run(name: str, stack: Array, **options: Any) -> Array:
    module = load_filter(name)
    return module.apply(stack, module.Settings(**options))


def scene(
    rng: np.random.Generator, shape: tuple[int, int, int] = (40, 32, 36), sigma: float = 10.0
) -> tuple[Array, Array]:
    """Give a structure that fades and two places with their own time courses, clean and with white noise."""
    t, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    clean = (100 + 40 * np.sin(x / 6) + 30 * np.cos(y / 9)) * np.exp(-t / 60)
    clean = clean + 40 * np.sin(t / 3) * np.exp(-((y - 10) ** 2 + (x - 10) ** 2) / 50)
    clean = clean + 40 * (t // 5 % 2) * np.exp(-((y - 22) ** 2 + (x - 25) ** 2) / 32)
    return clean, (clean + sigma * rng.standard_normal(clean.shape)).astype(np.float32)


def error(result: Array, clean: Array) -> float:
    return float(np.sqrt(np.mean((result - clean) ** 2)))


@pytest.mark.parametrize(("rows", "columns"), [(20, 49), (30, 500), (32, 32)])
def test_the_spectrum_of_noise_tells_its_variance(rng: np.random.Generator, rows: int, columns: int) -> None:
    noise = 3 * rng.standard_normal((50, rows, columns))
    values = np.linalg.eigvalsh(noise @ noise.transpose(0, 2, 1) / columns)
    variance, count = noise_of_spectrum(values, columns)
    assert variance.mean() == pytest.approx(9, rel=0.04)
    assert (count >= rows - 2).mean() > 0.9


def test_strong_components_are_counted_and_leave_the_variance_alone(rng: np.random.Generator) -> None:
    rows, columns = 20, 200
    signal = rng.standard_normal((50, rows, 3)) @ rng.standard_normal((50, 3, columns)) * 4
    noisy = signal + 2 * rng.standard_normal(signal.shape)
    variance, count = noise_of_spectrum(np.linalg.eigvalsh(noisy @ noisy.transpose(0, 2, 1) / columns), columns)
    # Three directions are lost to the signal, and with them 3 / 200 of the noise in the others.
    assert variance.mean() == pytest.approx(4, rel=0.05)
    assert np.mean(count == rows - 3) > 0.9


@pytest.mark.parametrize("strength", [1.5, 3.0, 10.0])
def test_optimal_weights_are_those_that_the_truth_would_choose(rng: np.random.Generator, strength: float) -> None:
    rows, columns = 32, 128
    weights, chosen = [], []
    for _ in range(100):
        left, right = rng.standard_normal(rows), rng.standard_normal(columns)
        signal = strength * np.outer(left / np.linalg.norm(left), right / np.linalg.norm(right)) * np.sqrt(columns)
        u, singular, vt = np.linalg.svd(signal + rng.standard_normal(signal.shape), full_matrices=False)
        chosen.append(u[:, 0] @ signal @ vt[0] / singular[0])
        weights.append(spectrum_weights(singular[::-1] ** 2 / columns, columns, np.array(1.0), "optimal")[-1])
    # The formula holds for large matrices; at 32 x 128 single draws scatter by up to 0.1.
    assert np.mean(weights) == pytest.approx(np.mean(chosen), abs=0.03)


def test_below_the_edge_nothing_is_kept_and_without_noise_everything() -> None:
    values = np.array([0.2, 1.0, 2.24, 2.26, 9.0])
    for shrinkage in ("hard", "optimal"):
        weights = spectrum_weights(values, 20, np.array(1.0), shrinkage)  # edge: (1 + sqrt(5 / 20))^2 = 2.25
        assert (weights > 0).tolist() == [False, False, False, True, True]
        assert spectrum_weights(values, 20, np.array(0.0), shrinkage).tolist() == [1.0] * 5


@pytest.mark.parametrize("shape", [(12, 8, 9), (60, 4, 5)])
@pytest.mark.parametrize("components", [1, 4, 100])
def test_a_given_number_of_components_is_the_best_approximation_of_that_rank(
    rng: np.random.Generator, shape: tuple[int, int, int], components: int
) -> None:
    _, stack = scene(rng, shape)
    flat = stack.reshape(shape[0], -1).astype(np.float64)
    u, singular, vt = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    singular[components:] = 0
    expected = ((u * singular) @ vt + flat.mean(axis=0)).reshape(shape)
    assert run("pca", stack, components=components) == pytest.approx(expected, abs=3e-5)


def test_pieces_of_a_large_stack_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stack = scene(rng)
    whole = run("pca", stack)
    monkeypatch.setattr(load_filter("pca"), "PIECE", 10_000)
    assert run("pca", stack) == pytest.approx(whole, abs=2e-5)


@pytest.mark.parametrize("options", [{}, {"noise_sigma": 10.0}])
@pytest.mark.parametrize("shrinkage", ["optimal", "hard"])
def test_automatic_components_come_near_the_best_number(
    rng: np.random.Generator, options: dict[str, Any], shrinkage: str
) -> None:
    clean, stack = scene(rng)
    best = min(error(run("pca", stack, components=number), clean) for number in range(1, 8))
    assert best < 4
    assert error(run("pca", stack, shrinkage=shrinkage, **options), clean) < 1.02 * best


@pytest.mark.parametrize("name", ["pca", "local_pca"])
def test_noise_around_a_still_picture_becomes_its_mean(rng: np.random.Generator, name: str) -> None:
    picture = 100 + 50 * np.sin(np.arange(30) / 4)[:, None] * np.cos(np.arange(28) / 5)
    stack = picture + 5 * rng.standard_normal((32, 30, 28))
    # The mean of 32 frames has 5 / sqrt(32) = 0.88; a little is lost where noise passes for a component.
    assert error(run(name, stack, noise_sigma=5.0), picture) < 1.25
    assert error(run(name, stack), picture) < 1.25


def test_local_components_follow_what_differs_from_place_to_place(rng: np.random.Generator) -> None:
    y, x = np.mgrid[:40, :40]
    t = np.arange(48)[:, None, None]
    # Each place has a phase of its own: two components everywhere, many for the whole.
    clean = 100 + 30 * np.sin(t / 4 + rng.uniform(0, 6, (4, 4))[y // 10, x // 10]) * (1 + (x // 10) / 2) ** (t / 48)
    stack = clean + 8 * rng.standard_normal(clean.shape)
    assert error(run("local_pca", stack), clean) < 0.4 * 8


@pytest.mark.parametrize("shape", [(7, 13, 11), (30, 9, 8), (50, 3, 3), (3, 20, 20)])
def test_without_noise_blocks_of_any_size_give_the_stack_back(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> None:
    stack = rng.normal(100, 30, shape).astype(np.float32)
    for step in (1, 4, 5):
        result = run("local_pca", stack, patch=5, frames=12, step=step, noise_sigma=0.0)
        assert result == pytest.approx(stack, abs=1e-4)


def test_local_pca_is_one_block_where_the_block_is_the_stack(rng: np.random.Generator) -> None:
    _, stack = scene(rng, (20, 6, 6))
    expected = filter_matrices(stack.reshape(1, 20, 36).astype(np.float64), 100.0, "hard").reshape(stack.shape)
    result = run("local_pca", stack, patch=6, frames=20, noise_sigma=10.0, shrinkage="hard")
    assert result == pytest.approx(expected, abs=2e-5)


def test_threads_do_not_matter(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stack = scene(rng, (20, 24, 20))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = run("local_pca", stack)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    np.testing.assert_array_equal(run("local_pca", stack), alone)


@pytest.mark.parametrize("name", ["pca", "local_pca"])
def test_result_scales_with_the_unit(rng: np.random.Generator, name: str) -> None:
    _, stack = scene(rng, (16, 18, 20))
    result = run(name, stack)
    for factor in (1e-5, 7.0, 1e5):
        assert run(name, stack * np.float32(factor)) / factor == pytest.approx(result, abs=2e-3)


@pytest.mark.parametrize("name", ["pca", "local_pca"])
@pytest.mark.parametrize("shape", [(1, 5, 5), (2, 1, 1), (2, 9, 9), (3, 1, 7), (9, 1, 1), (5, 2, 2)])
def test_small_and_constant_stacks_work(rng: np.random.Generator, name: str, shape: tuple[int, int, int]) -> None:
    stack = rng.integers(0, 255, shape).astype(np.uint8)
    for options in ({}, {"noise_sigma": 3.0}):
        result = run(name, stack, **options)
        assert result.shape == shape
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
    constant = np.full(shape, 7.3, np.float32)
    np.testing.assert_allclose(run(name, constant), constant, rtol=1e-6)
    if len(stack) == 1:
        np.testing.assert_array_equal(result, stack)


BAD = [
    ("pca", {"components": -1}, "components must be"), ("pca", {"components": 2.5}, "got 2.5"),
    ("pca", {"shrinkage": "soft"}, "allowed: hard, optimal"), ("pca", {"noise_sigma": -1.0}, "noise_sigma must be"),
    ("local_pca", {"patch": 0}, "from 1 to 64 px"), ("local_pca", {"frames": 1}, "from 2 to 1000"),
    ("local_pca", {"patch": 3, "step": 4}, "from 1 to 3 px"), ("local_pca", {"noise_sigma": np.nan}, "got nan"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_bad_settings_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_filter(name).Settings(**options)
