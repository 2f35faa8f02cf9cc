"""CARE with error bars: for each pixel the location and the scale of a Laplace distribution of the clean value.

Assumes pairs as CARE does: registered to the pixel, clean targets. The scale says how far the clean value may be from
the denoised one: their difference has the standard deviation scale * sqrt(2), and lies within scale * ln 10 in 9 of 10
pixels. It is calibrated on held-out patches, by the factor that makes the standard deviation of
error / (scale * sqrt(2)) one; targets that are noisy themselves put their noise into the scale.

References
----------
Weigert et al. 2018, "Content-aware image restoration", Nature Methods 15, 1090 (supplementary note 2, eq. 2: the loss).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..nets.unet import LaplaceDenoiser, UNet
from ..training.patches import Batch, DataStatistics
from ..training.plain_net import net_options

DATA = "pairs"
"""What it learns from: a target for each picture."""

SCHEDULE = {"validation_percent": 10.0}
"""The scale is calibrated on the held-out patches; a fifth of them, as Weigert et al. hold out, costs quality."""


@dataclass(frozen=True)
class Settings:
    """Settings of CARE with error bars.

    Parameters
    ----------
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    filters: int = 32
    depth: int = 2


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net, with the factor of its scale as a buffer.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    net = UNet(**_net(settings, stats))
    net.register_buffer("scale_factor", torch.ones(()))
    return net


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Negative logarithm of the likelihood of the target (Weigert et al., eq. 2), up to a constant."""
    assert batch.target is not None
    location, scale = LaplaceDenoiser.location_and_scale(net(batch.source).float(), batch.source)
    return ((batch.target - location).abs() / scale + scale.log()).mean()


def calibrate(net: nn.Module, batches: Iterable[Batch], settings: Settings) -> dict[str, float]:
    """Set the factor of the scale from held-out batches.

    Returns
    -------
    dict
        ``scale_factor``, and ``inside_90``: the share of pixels within scale * ln 10, 0.9 of a Laplace distribution.
    """
    ratios = []
    for batch in batches:
        assert batch.target is not None
        location, scale = LaplaceDenoiser.location_and_scale(net(batch.source).float(), batch.source)
        ratios.append(((batch.target - location) / scale).abs().flatten())
    ratio = torch.cat(ratios).double()
    factor = torch.sqrt((ratio**2).mean() / 2).clamp(min=1e-6)
    net.scale_factor.copy_(factor)  # type: ignore[operator]
    inside = (ratio <= math.log(10) * factor).double().mean()
    return {"scale_factor": float(factor), "inside_90": float(inside)}


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts and their scale, in the targets' units."""
    state = dict(net.state_dict())
    factor = float(state.pop("scale_factor"))
    normalisation = stats.input_mean, stats.input_std, stats.output_mean, stats.output_std
    module = LaplaceDenoiser(_net(settings, stats), *normalisation, scale_factor=factor)
    module.net.load_state_dict(state)
    return module.eval()


def _net(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    return net_options(settings, stats, out_channels=2 * stats.out_channels)
