"""Wavelet shrinkage, with the grid as it is and averaged over its shifts."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.restoration import denoise_wavelet

from quietframe.errors import OptionError
from quietframe.filters import load_filter

Array = NDArray[Any]


def run(image: Array, **options: Any) -> Array:
    module = load_filter("wavelet")
    return module.apply(image, module.Settings(**options))


def scene(rng: np.random.Generator, shape: tuple[int, ...], sigma: float = 5.0) -> tuple[Array, Array]:
    grid = np.indices(shape)
    clean = 100 + 40 * np.sin(grid[-1] / 5) * np.cos(grid[-2] / 7) + 30 * (grid[-1] > shape[-1] // 2)
    return clean, (clean + sigma * rng.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (45, 71), (12, 24, 30)])
@pytest.mark.parametrize(("thresholds", "method"), [("bayes-shrink", "BayesShrink"), ("visu-shrink", "VisuShrink")])
@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_one_shift_is_scikit_images(
    rng: np.random.Generator, shape: tuple[int, ...], thresholds: str, method: str, mode: str
) -> None:
    _, image = scene(rng, shape)
    centred = image.astype(np.float64) - image.mean(dtype=np.float64)
    expected = denoise_wavelet(centred, 5.0, "db2", mode, method=method, rescale_sigma=False)
    options = {"wavelet": "db2", "thresholds": thresholds, "mode": mode, "shifts": 1, "noise_sigma": 5.0}
    result = run(image, **options, dimensions=len(shape))
    assert result == pytest.approx(expected + image.mean(dtype=np.float64), abs=2e-5)


def test_shifts_average_the_filter_over_the_offsets_of_the_grid(rng: np.random.Generator) -> None:
    _, image = scene(rng, (40, 33))
    padded = np.pad(image.astype(np.float64), 2, mode="symmetric") - 100
    total = np.zeros(image.shape)
    for y, x in product(range(3), repeat=2):
        part = denoise_wavelet(padded[y : y + 42, x : x + 35], 5.0, "haar", "hard", rescale_sigma=False)
        total += part[2 - y : 42 - y, 2 - x : 35 - x]
    # Centring on another value than the mean changes no detail coefficient, so no threshold.
    assert run(image, wavelet="haar", mode="hard", shifts=3, noise_sigma=5.0) == pytest.approx(
        total / 9 + 100, abs=1e-4
    )


def test_shifts_lessen_the_error(rng: np.random.Generator) -> None:
    clean, image = scene(rng, (96, 96), 10.0)
    errors = [np.mean((run(image, wavelet="db2", shifts=shifts) - clean) ** 2) for shifts in (1, 4)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[1] < 0.3 * 100


def test_threads_do_not_matter(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    _, image = scene(rng, (50, 60))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = run(image)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    np.testing.assert_array_equal(run(image), alone)


def test_result_scales_with_the_unit(rng: np.random.Generator) -> None:
    _, image = scene(rng, (30, 40))
    result = run(image)
    for factor in (1e-5, 7.0, 1e5):
        assert run(image * np.float32(factor)) / factor == pytest.approx(result, abs=2e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (5, 9)])
@pytest.mark.parametrize("wavelet", ["haar", "sym8", "db38"])
def test_small_and_constant_images_work(rng: np.random.Generator, shape: tuple[int, int], wavelet: str) -> None:
    image = rng.integers(0, 255, shape).astype(np.uint8)
    result = run(image, wavelet=wavelet, shifts=2, levels=3)
    assert result.shape == shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    constant = np.full(shape, 7.3, np.float32)
    np.testing.assert_allclose(run(constant, wavelet=wavelet, noise_sigma=1.0), constant, rtol=1e-6)
    np.testing.assert_array_equal(run(constant, wavelet=wavelet), constant)


def test_a_line_is_filtered_as_a_line(rng: np.random.Generator) -> None:
    clean = 50.0 * (np.arange(256) // 64 % 2)
    image = (clean + 5 * rng.standard_normal(256)).reshape(1, 256)
    result = run(image, wavelet="haar", noise_sigma=5.0)
    assert np.std(result[0] - clean) < 2.5


BAD = [
    ({"wavelet": "bior2.2"}, "unknown wavelet"), ({"wavelet": "db99"}, "did you mean"),
    ({"thresholds": "sure"}, "bayes-shrink"), ({"mode": "softer"}, "did you mean soft"),
    ({"shifts": 0}, "from 1 to 64 px"), ({"levels": -1}, "levels must be"), ({"noise_sigma": np.nan}, "got nan"),
    ({"dimensions": 1}, "2 .* or 3"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_filter("wavelet").Settings(**options)
