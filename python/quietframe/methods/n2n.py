"""Noise2Noise: learn from noisy repeats of the same scene, without a clean picture.

Assumes that the repeats show the same scene, registered to the pixel, and that their noise is independent of each other
and of zero mean; two differences of one exposure that share a read break this (their noise is correlated), so exposures
are cut into differences with a guard read between them. Takes pairs (``--target``), stacks of repeats along T, or an
exposure (``--difference``).

Which of two repeats is the input is drawn anew for each patch. Where the camera tells the noise (exposures), the net
works on pictures divided by the predicted standard deviation of their noise and sees its logarithm, and each error is
weighed by it: one net then serves differences of 1 and of 250 sub-frames. Weights that depend on the input alone leave
the expected target, which is what the squared error finds, as it is.

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

DATA = "repeats"
"""What it learns from: repeats of one scene, or a target for each picture."""


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
    if not 1 <= settings.filters <= 512:
        raise OptionError(f"--filters {settings.filters}: give 1 to 512")
    if not 1 <= settings.depth <= 4:
        raise OptionError(f"--depth {settings.depth}: give 1 to 4")
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
    """Mean squared error against the other repeat (Lehtinen et al., eq. 6), of known noise in units of its variance."""
    assert batch.target is not None
    stats = batch.stats
    shift = stats.input_mean if _conditioned(settings, stats) else [0.0] * stats.in_channels
    source = _affine(batch.source, stats.input_std, shift, stats.input_std)
    target = batch.target
    if settings.direction == "both":  # both in the units of the input, so that either can be it
        difference = [there - here for there, here in zip(stats.output_mean, stats.input_mean, strict=True)]
        offset = [a + b for a, b in zip(difference, shift, strict=True)]
        target = _affine(target, stats.output_std, offset, stats.input_std)
        swapped = torch.rand(len(source), generator=batch.generator) < 0.5
        swapped = swapped.to(source.device).reshape(-1, *[1] * (source.dim() - 1))
        source, target = torch.where(swapped, target, source), torch.where(swapped, source, target)
    error = net(source).float() - target
    if _conditioned(settings, stats):
        assert isinstance(net, UNet)
        error = error / net.sigma(source)[:, : error.shape[1]]
    squares: Tensor = error**2
    return squares.mean()


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts."""
    zero = [0.0] * stats.in_channels
    mean, std = zero if _conditioned(settings, stats) else stats.input_mean, stats.input_std
    answer = (mean, std) if settings.direction == "both" else (stats.output_mean, stats.output_std)
    module = Denoiser(_net(settings, stats), mean, std, *answer)
    module.net.load_state_dict(net.state_dict())
    return module.eval()


def _conditioned(settings: Settings, stats: DataStatistics) -> bool:
    return settings.noise_level != "off" and stats.noise is not None


def _affine(x: Tensor, factor: list[float], offset: list[float], divisor: list[float]) -> Tensor:
    """Return (x * factor + offset) / divisor, channel by channel."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    scale = torch.tensor([a / b for a, b in zip(factor, divisor, strict=True)], device=x.device)
    shift = torch.tensor([a / b for a, b in zip(offset, divisor, strict=True)], device=x.device)
    return x * scale.reshape(shape) + shift.reshape(shape)


def _net(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    net: dict[str, Any] = {
        "in_channels": stats.in_channels, "out_channels": stats.out_channels, "dims": stats.dims,
        "depth": settings.depth, "filters": settings.filters, "residual": stats.in_channels == stats.out_channels,
    }  # fmt: skip
    if _conditioned(settings, stats):
        # in counts / scale, where no light is 0, so that dim and bright pictures differ by a factor and no offset
        assert stats.noise is not None
        scale = stats.input_std[0]
        least = stats.noise.intercept / scale**2
        net["noise"] = [stats.noise.slope / scale, least, least]
    return net
