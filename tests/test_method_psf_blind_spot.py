"""The PSF blind spot: the point spread function, the blur, what is punished, and both outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

from quietframe.errors import InputError, OptionError
from quietframe.methods import psf_blind_spot as method
from quietframe.nets.unet import PhantomDenoiser
from quietframe.training import loop
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job
from quietframe.training.patches import Batch, DataStatistics, collect
from quietframe.training.schedule import Schedule

SETTINGS = method.Settings(filters=4, depth=1)


def scene(size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Return points and edges behind a Gaussian PSF of 1 px, 5 to about 100 photons, and their Poisson picture."""
    rng = np.random.default_rng(3)
    phantom = np.full((size, size), 5.0)
    for y, x in rng.integers(4, size - 4, (60, 2)):
        phantom[y, x] += rng.uniform(100, 500)
    phantom[40:60, 20:70] += 30
    clean = ndimage.gaussian_filter(phantom, 1.0)
    return clean, rng.poisson(clean).astype(np.float32)


def statistics() -> DataStatistics:
    return collect([scene()[1]], ["a"]).statistics()


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_the_gaussian_blurs_as_scipy_does(sigma: float) -> None:
    picture = np.random.default_rng(1).random((40, 50)).astype(np.float32)
    blurred = PhantomDenoiser.blur(torch.from_numpy(picture)[None, None], torch.from_numpy(method.gaussian_psf(sigma)))
    radius = int(np.ceil(4 * sigma))
    expected = ndimage.gaussian_filter(picture.astype(float), sigma, mode="nearest", radius=radius)
    np.testing.assert_allclose(blurred[0, 0], expected, atol=1e-6)  # float32, values below 1


def test_a_lopsided_psf_is_convolved_with_and_not_correlated() -> None:
    psf = np.array([[0, 0, 0], [0, 0.25, 0.5], [0, 0.25, 0]], np.float32)
    picture = np.random.default_rng(2).random((2, 9, 12)).astype(np.float32)
    blurred = PhantomDenoiser.blur(torch.from_numpy(picture)[None], torch.from_numpy(psf))
    expected = np.stack([ndimage.convolve(plane.astype(float), psf, mode="nearest") for plane in picture])
    np.testing.assert_allclose(blurred[0], expected, atol=1e-6)


def test_a_picture_of_the_psf_is_cut_to_odd_size_around_its_middle_and_scaled_to_sum_one(tmp_path: Path) -> None:
    picture = np.zeros((80, 65), np.float32)
    picture[40, 32], picture[40, 33], picture[0, 0], picture[41, 32] = 300, 100, 50, -7
    tifffile.imwrite(tmp_path / "psf.tif", picture)
    psf = method.picture_psf(str(tmp_path / "psf.tif"))
    assert psf.shape == (63, 63)
    assert psf.dtype == np.float32
    assert [psf[31, 31], psf[31, 32], psf.sum()] == pytest.approx([0.75, 0.25, 1])


def test_a_picture_that_is_no_psf_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "dark.tif", np.full((9, 9), -1, np.float32))
    with pytest.raises(InputError, match="give one plane of 3 px or more with a bright peak"):
        method.picture_psf(str(tmp_path / "dark.tif"))


def test_what_lies_below_black_is_punished_by_its_mean_depth_in_normalised_units() -> None:
    class Flat(torch.nn.Module):
        psf = torch.ones(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full_like(x, below)

    stats = statistics()
    source = stats.source[0]
    below = (20 - source.center) / source.scale - 0.25  # a quarter of the contrast below black at 20 counts
    patches = torch.zeros(2, 1, 16, 16)

    def loss(positivity: float) -> float:
        settings = method.Settings(positivity=positivity, black_adu=20)
        return method.loss(Flat(), Batch(patches, None, torch.Generator().manual_seed(1), stats), settings).item()

    assert loss(2) - loss(0) == pytest.approx(0.5, rel=1e-4)
    assert loss(0) == pytest.approx(below**2, rel=1e-4)


def test_training_gives_a_picture_and_a_phantom_that_is_sharper_and_never_negative(tmp_path: Path) -> None:
    clean, noisy = scene()
    schedule = Schedule(
        steps=120, batch_size=8, patch_px=32, learning_rate=4e-3, validation_percent=0, precision="float32"
    )
    settings = method.Settings(filters=8, depth=2)
    loop.train(Job("psf_blind_spot", method, settings, schedule, collect([noisy], ["a"]), tmp_path / "run"))
    trained = load_trained(tmp_path / "run")
    with torch.inference_mode():
        denoised, phantom = trained.module(torch.from_numpy(noisy)[None, None])
    picture, points = denoised[0, 0].numpy(), phantom[0, 0].numpy()
    assert trained.outputs == ("denoised", "phantom")
    assert np.mean((picture - clean) ** 2) < 0.5 * np.mean((noisy - clean) ** 2)
    assert points.min() >= 0
    assert np.abs(np.diff(points)).max() > 1.2 * np.abs(np.diff(picture)).max()
    inner = (slice(8, -8),) * 2
    np.testing.assert_allclose(  # the picture is the blurred phantom, in float32
        picture[inner], ndimage.gaussian_filter(points.astype(float), 1.0, radius=4)[inner], rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        (method.Settings(psf_px=-1), "--psf-px -1: give 0 to 10 px"),
        (method.Settings(positivity=-1), "--positivity -1: give 0 to 100"),
        (method.Settings(masked_percent=0), "--masked-percent 0: give 0.1 to 50"),
        (method.Settings(depth=7), "--depth 7: give 1 to 4"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: method.Settings, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        method.build(settings, statistics())


def test_volumes_are_refused() -> None:
    stats = statistics()
    with pytest.raises(OptionError, match="knows the blur in planes only: leave --patch-z out"):
        method.build(SETTINGS, DataStatistics(stats.source, stats.target, dims=3))


def test_a_psf_of_zero_width_is_the_plain_blind_spot() -> None:
    psf = method.gaussian_psf(0)
    picture = torch.rand(1, 1, 8, 8)
    assert psf.shape == (1, 1)
    assert torch.equal(PhantomDenoiser.blur(picture, torch.from_numpy(psf)), picture)
