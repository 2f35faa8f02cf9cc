"""CARE with error bars: the likelihood, its calibration, and what the exported module gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from quietframe.methods import care_laplace
from quietframe.nets.unet import LaplaceDenoiser
from quietframe.training import loop
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job
from quietframe.training.patches import Batch, DataStatistics, collect
from quietframe.training.schedule import Schedule

SETTINGS = care_laplace.Settings(filters=8)


def scene(seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return blobs of 10 to 60 photons, and what a camera with 2 e- read noise sees of them, float32."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.random((size, size)) ** 8, 3)
    clean = 10 + 50 * (blobs - blobs.min()) / np.ptp(blobs)
    return clean.astype(np.float32), (rng.poisson(clean) + rng.normal(0, 2, clean.shape)).astype(np.float32)


def statistics() -> DataStatistics:
    clean, noisy = scene(1)
    return collect([noisy], ["a"], [3 * clean + 100]).statistics()


class Fixed(torch.nn.Module):
    """A net that answers with what it holds."""

    scale_factor: torch.Tensor

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.register_buffer("scale_factor", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer


def test_the_loss_is_the_negative_logarithm_of_the_likelihood_of_a_laplace_distribution() -> None:
    generator = torch.Generator().manual_seed(1)
    source, target = torch.randn(2, 1, 8, 8, generator=generator), torch.randn(2, 1, 8, 8, generator=generator)
    answer = torch.randn(2, 2, 8, 8, generator=generator)
    location, scale = LaplaceDenoiser.location_and_scale(answer, source)
    found = care_laplace.loss(Fixed(answer), Batch(source, target, generator, statistics()), SETTINGS).item()
    truth = -stats.laplace.logpdf(target.numpy(), location.numpy(), scale.numpy()).mean() - math.log(2)
    assert found == pytest.approx(truth, rel=1e-5)
    np.testing.assert_allclose(location, source + answer[:, :1])


def test_calibration_finds_the_factor_of_a_scale_that_is_wrong_by_a_known_one() -> None:
    rng = np.random.default_rng(2)
    answer = torch.from_numpy(rng.uniform(-1, 1, (4, 2, 64, 64)).astype(np.float32))
    source = torch.zeros(4, 1, 64, 64)
    location, scale = LaplaceDenoiser.location_and_scale(answer, source)
    target = location + 2.5 * scale * torch.from_numpy(rng.laplace(size=(4, 1, 64, 64)).astype(np.float32))
    net = Fixed(answer)
    batch = Batch(source, target, torch.Generator(), statistics())
    with torch.inference_mode():
        found = care_laplace.calibrate(net, [batch, batch], SETTINGS)
    # 16 384 errors: the mean square of a Laplace distribution (kurtosis 6) is known to sqrt(5 / 16384) = 1.7 %, its
    # root to 0.9 %; the share of 0.9 to 0.23 %; both within 4 standard deviations
    assert found["scale_factor"] == pytest.approx(2.5, rel=0.036)
    assert found["inside_90"] == pytest.approx(0.9, abs=0.01)
    assert net.scale_factor.item() == pytest.approx(found["scale_factor"])


def test_the_denoiser_gives_location_and_calibrated_scale_in_the_units_of_the_targets() -> None:
    data = statistics()
    net = care_laplace.build(SETTINGS, data)
    net.scale_factor.fill_(2.0)  # type: ignore[operator, union-attr]
    picture = torch.from_numpy(scene(1)[1])[None, None]
    module = care_laplace.denoiser(net, SETTINGS, data)
    source, target = data.source[0], data.target[0]
    normal = (picture - source.center) / source.scale
    with torch.inference_mode():
        location, scale = module(picture)
        expected, width = LaplaceDenoiser.location_and_scale(net(normal), normal)
    # float32 sums of 100 terms or so; values up to 300
    torch.testing.assert_close(location, expected * target.scale + target.center, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scale, 2 * width * target.scale, rtol=1e-4, atol=1e-3)
    assert module.outputs == ("denoised", "scale")
    assert module.kwargs["scale_factor"] == 2.0


def test_errors_on_a_picture_it_never_saw_have_the_size_that_the_scale_says(tmp_path: Path) -> None:
    pairs = [scene(seed) for seed in (1, 2)]
    pictures = collect([noisy for _, noisy in pairs], ["a", "b"], [clean for clean, _ in pairs])
    schedule = Schedule(
        steps=120, batch_size=8, patch_px=32, learning_rate=4e-3, validation_percent=20, precision="float32"
    )
    state = loop.train(Job("care_laplace", care_laplace, SETTINGS, schedule, pictures, tmp_path / "run"))
    clean, noisy = scene(3)
    trained = load_trained(tmp_path / "run")
    with torch.inference_mode():
        location, scale = (part[0, 0].numpy() for part in trained.module(torch.from_numpy(noisy)[None, None]))
    assert trained.outputs == ("denoised", "scale")
    assert np.mean((location - clean) ** 2) < 0.3 * np.mean((noisy - clean) ** 2)
    # the standard deviation of a Laplace distribution is sqrt(2) times its scale
    assert 0.8 < np.std((location - clean) / (scale * 2**0.5)) < 1.25
    assert state.figures["scale_factor"] > 0
