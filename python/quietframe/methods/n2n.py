"""Noise2Noise: learn from noisy repeats of the same scene, without a clean picture.

Assumes that the repeats show the same scene, registered to the pixel, and that their noise is independent of each other
and of zero mean; two differences of one exposure that share a read break this (their noise is correlated), so exposures
are cut into differences with a guard read between them. Takes pairs (``--target``), stacks of repeats along T, or an
exposure (``--difference``).

Which of two repeats is the input is drawn anew for each patch; of four or more, the mean of half of the others is its
target, which has the same expectation and less noise. Where the camera tells the noise (exposures), the net
works on pictures divided by the predicted standard deviation of their noise and sees its logarithm, and each error is
weighed by what can be reached in its patch: one net then serves differences of 1 and of 250 sub-frames. Weights that
depend on the input alone leave the expected target, which is what the squared error finds, as it is.

References
----------
Lehtinen et al. 2018, "Noise2Noise: learning image restoration without clean data", ICML, section 2, eq. 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import OptionError, unknown
from ..nets.unet import Denoiser, UNet
from ..training.patches import Batch, DataStatistics
from ..training.plain_net import Normalisation, net_options, restated

DATA = "repeats"
"""What it learns from: repeats of one scene, or a target for each picture."""

SCHEDULE = {"validation_percent": 0.0, "learning_rate": 2e-3, "average": 0.98}
"""Noisy targets: the mean of the last weights, at a larger rate, and no held-out patches, because the error against a
few noisy ones chose weights that were 1.5 dB worse on one of three real sets."""


@dataclass(frozen=True)
class Settings:
    """Settings of Noise2Noise.

    Parameters
    ----------
    direction
        Learn from each of two repeats to the other (both), or from picture to --target only (forward), which is right
        where a target is brighter or less noisy than its picture; the result is then in the target's units.
    noise_level
        Tell the net the noise of its input: where the camera's gain and read noise are known (auto, on), or not (off).
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    direction: Literal["both", "forward"] = "both"
    noise_level: Literal["auto", "on", "off"] = "auto"
    filters: int = 32
    depth: int = 2


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range, or asks for a noise level that is not known.
    """
    for name, allowed in (("direction", ["both", "forward"]), ("noise_level", ["auto", "on", "off"])):
        if getattr(settings, name) not in allowed:
            raise unknown(name.replace("_", " "), getattr(settings, name), allowed)
    if settings.noise_level == "on" and stats.noise is None:
        raise OptionError(
            "--noise-level on: the noise of these pictures is not known; it is for exposures with a camera's gain and "
            "read noise (--difference), else give auto or off"
        )
    if settings.direction == "both" and stats.in_channels != stats.out_channels:
        raise OptionError(
            f"pictures of {stats.in_channels} channels and targets of {stats.out_channels} are no repeats; "
            "give --direction forward"
        )
    return UNet(**_net(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error against the other repeat (Lehtinen et al., eq. 6), of known noise weighed by it."""
    assert batch.target is not None
    stats = batch.stats
    here, there = _units(settings, stats)
    source = restated(batch.source, (stats.input_mean, stats.input_std), here)
    target = restated(batch.target, (stats.output_mean, stats.output_std), there)
    if settings.direction == "both" and stats.target != stats.source:  # of stacks of repeats any is the input already
        swapped = torch.rand(len(source), generator=batch.generator) < 0.5
        swapped = swapped.to(source.device).reshape(-1, *[1] * (source.dim() - 1))
        source, target = torch.where(swapped, target, source), torch.where(swapped, source, target)
    squares = (net(source).float() - target) ** 2
    if _conditioned(settings, stats):
        assert isinstance(net, UNet)
        squares = squares * _weight(source, net.sigma(source)[:, : squares.shape[1]] ** 2)
    error: Tensor = squares.mean()
    return error


def _weight(source: Tensor, variance: Tensor) -> Tensor:
    """Return the inverse of the error that a pixel with signal and noise of this size is left with (Wiener).

    Noise alone (1 / variance) would weigh a difference of 1 sub-frame, of which nearly all is noise, 300 times less
    than one of 250. The signal is the patch's mean; pixels that can be averaged tell it no better than 1 part in 512.
    """
    axes = tuple(range(2, source.dim()))
    signal = source.float().mean(axes, keepdim=True).clamp(min=0) ** 2 + variance.mean(axes, keepdim=True) / 512
    return 1 / variance + 1 / signal[:, : variance.shape[1]]


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts."""
    here, there = _units(settings, stats)
    module = Denoiser(_net(settings, stats), *here, *there)
    module.net.load_state_dict(net.state_dict())
    return module.eval()


def _conditioned(settings: Settings, stats: DataStatistics) -> bool:
    return settings.noise_level != "off" and stats.noise is not None


def _units(settings: Settings, stats: DataStatistics) -> tuple[Normalisation, Normalisation]:
    """Return what is subtracted from input and output of the net and what they are then divided by, per channel.

    The same for both where either can be the input. Where the noise is known nothing is subtracted: no light is then 0,
    and dim and bright pictures, divided by the deviation of their noise, differ by a factor and no offset.
    """
    here, there = (stats.input_mean, stats.input_std), (stats.output_mean, stats.output_std)
    if _conditioned(settings, stats):
        here, there = ([0.0] * stats.in_channels, here[1]), ([0.0] * stats.out_channels, there[1])
    return here, here if settings.direction == "both" else there


def _net(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    residual = stats.in_channels == stats.out_channels
    net = net_options(settings, stats, out_channels=stats.out_channels, residual=residual)
    if _conditioned(settings, stats):
        assert stats.noise is not None
        scale = stats.input_std[0]
        least = stats.noise.intercept / scale**2
        net["noise"] = [stats.noise.slope / scale, least, least]
    return net
