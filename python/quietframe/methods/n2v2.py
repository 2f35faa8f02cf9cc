"""N2V2: Noise2Void without its checkerboards, by blurred pooling, no skip connection at the top, and medians.

Assumes what Noise2Void assumes: noise independent from pixel to pixel and of zero mean. Noisy pictures only. The net
cannot let single pixels through, so its results are smoother: right for Noise2Void's checkerboards and hot pixels,
wrong where structures are one or two pixels wide.

References
----------
Höck, Buchholz, Brachmann, Jug & Freytag 2022, "N2V2: fixing Noise2Void checkerboard artifacts with modified sampling
strategies and a tweaked network architecture", ECCV workshops, sections 3.1 (net) and 3.2 (median).
Zhang 2019, "Making convolutional networks shift-invariant again", ICML.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from ..nets.unet import UNet
from ..training.blind_spot import check_percent, check_replacement, error_at, noise_notes
from ..training.masks import hide
from ..training.patches import Batch, DataStatistics, Pictures
from ..training.plain_net import as_denoiser, net_options

DATA = "single"
"""What it learns from: noisy pictures alone."""

SCHEDULE = {"validation_percent": 0.0}  # on one picture, what is held out is missed: up to 0.4 dB on one set at 5 %


@dataclass(frozen=True)
class Settings:
    """Settings of N2V2.

    Parameters
    ----------
    masked_percent
        Pixels hidden in each patch [%].
    replace
        What stands in the place of a hidden pixel: the median of the pixels around it, the mean of its 8 neighbours,
        or one of those around at random (uniform).
    radius
        How far median and uniform look [px].
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    masked_percent: float = 10.0
    replace: Literal["median", "mean", "uniform"] = "median"
    radius: int = 1
    filters: int = 32
    depth: int = 2


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Look at the noise before training; say where it is correlated."""
    return settings, noise_notes(pictures, "n2v2")


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    check_percent(settings.masked_percent)
    check_replacement(settings)
    return UNet(**_net(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error at the hidden pixels, in normalised units."""
    hidden, mask = hide(batch.source, settings.masked_percent, batch.generator, settings.replace, settings.radius)
    return error_at(mask, net(hidden), batch.source)


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts; nothing is hidden when it is used."""
    return as_denoiser(net, _net(settings, stats), stats)


def _net(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    return net_options(settings, stats, pooling="blur", top_skip=False)
