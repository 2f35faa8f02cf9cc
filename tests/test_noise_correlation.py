"""The correlation of noise, measured on one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.io import imread

from quietframe.errors import InputError
from quietframe.metrics.noise_correlation import SIGNIFICANT, noise_correlation

BLUR_PX = 0.6


def noise(kind: str, seed: int, size: int = 384) -> np.ndarray:
    """Return noise of unit variance: white, the mean of 3 along rows, or blurred by 0.6 px."""
    white = np.random.default_rng(seed).normal(size=(size, size))
    if kind == "row":
        white = ndimage.uniform_filter1d(white, 3, axis=1, mode="wrap")
    if kind == "blur":
        white = ndimage.gaussian_filter(white, BLUR_PX, mode="wrap")
    return np.asarray(white / white.std())


def expected(kind: str) -> tuple[float, float]:
    """Correlation one pixel apart along x and y: the overlap of the filter with itself, moved by one pixel."""
    if kind == "white":
        return 0.0, 0.0
    if kind == "row":
        return 2 / 3, 0.0
    taps = np.exp(-(np.arange(-4, 5) ** 2) / (2 * BLUR_PX**2))
    return (float(taps[1:] @ taps[:-1] / (taps @ taps)),) * 2


@pytest.mark.parametrize("kind", ["white", "row", "blur"])
def test_over_a_flat_background_it_is_that_of_the_filter(kind: str) -> None:
    found = noise_correlation(100 + 7 * noise(kind, 1))
    # 2209 half-overlapping blocks see lag 1 to 1 / 384 = 0.003; the removed plane and lowest frequencies take some 0.02
    assert (found.x, found.y) == pytest.approx(expected(kind), abs=0.05)
    assert found.values[6, 6] == 1
    np.testing.assert_allclose(found.values, found.values[::-1, ::-1], atol=1e-12)


@pytest.mark.parametrize("name", ["Confocal_BPAE_G", "TwoPhoton_MICE", "Confocal_FISH"])
@pytest.mark.parametrize("kind", ["white", "row", "blur"])
def test_over_real_structure_it_tells_white_noise_from_correlated(data_dir: Path, name: str, kind: str) -> None:
    """The mean of 50 frames as structure, which is everywhere in BPAE_G (actin)."""
    truth = imread(data_dir / "fmd" / f"{name}_gt.png")[:384, :384].astype(float)
    found = noise_correlation(truth + 12 * noise(kind, 2))
    # structure in nine blocks of ten adds to what the noise shares, up to 0.18 in BPAE_G (actin everywhere)
    assert (found.x, found.y) == pytest.approx(expected(kind), abs=0.22)
    assert found.significant == (kind != "white")  # 0.3 lies between 0.22 and 0.44 - 0.05


@pytest.mark.parametrize("name", ["WideField_BPAE_B", "WideField_BPAE_G"])
def test_widefield_noise_is_correlated_as_the_difference_of_two_exposures_says(data_dir: Path, name: str) -> None:
    first, second = (imread(data_dir / "fmd" / f"{name}_raw{i}.png").astype(float) for i in (1, 3))
    difference = first - second - (first - second).mean()
    truth = (difference[:, 1:] * difference[:, :-1]).mean() / difference.var()
    found = noise_correlation(first)
    assert truth > 0.55
    assert found.x == pytest.approx(truth, abs=0.1)
    assert found.significant


@pytest.mark.parametrize(
    "name", ["Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_BPAE_R", "Confocal_FISH", "TwoPhoton_MICE"]
)
def test_confocal_and_two_photon_noise_is_taken_for_white(data_dir: Path, name: str) -> None:
    found = noise_correlation(imread(data_dir / "fmd" / f"{name}_raw1.png"))
    assert max(found.x, found.y) < 0.7 * SIGNIFICANT
    assert found.advice("n2v") is None


def test_the_advice_names_the_number_and_the_method_to_use_instead() -> None:
    found = noise_correlation(7 * noise("row", 3))
    advice = found.advice("n2v")
    assert advice is not None
    assert f"horizontal neighbours is correlated ({found.x:.2f} one pixel apart)" in advice
    assert "n2v will keep it" in advice
    assert "use struct_n2v" in advice


def test_saturated_parts_are_left_out() -> None:
    picture = 100 + 7 * noise("blur", 4)
    picture[:, :192] = picture.max()
    found = noise_correlation(picture)
    assert (found.x, found.y) == pytest.approx(expected("blur"), abs=0.06)
    assert found.blocks < 1300


@pytest.mark.parametrize(
    "picture, message",
    [
        (np.zeros((3, 64, 64)), r"needs a plane of 32 x 32 px; got shape \(3, 64, 64\)"),
        (np.zeros((31, 64)), r"got shape \(31, 64\)"),
        (np.full((64, 64), np.nan), "not finite"),
        (np.full((64, 64), 5.0), "only 0 of 0 blocks"),
        (np.tile(np.arange(64.0), (64, 1)), "blocks hold noise that is not clipped"),
    ],
)
def test_pictures_without_noise_to_see_are_refused(picture: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        noise_correlation(picture)
