"""Noise2Void: learn to denoise from single noisy pictures, by predicting hidden pixels from their surroundings.

Assumes that the noise of a pixel is independent of its neighbours' and of zero mean; noise that is correlated
(widefield cameras with interpolation, lines) is learned as if it were signal. Needs noisy pictures only.

A pixel is hidden by putting the mean of its 8 neighbours in its place (Batson & Royer, section 3.1) rather than a
random neighbour (Krull et al., section 3.4), and 10 % of them are hidden rather than 0.2 %: the loss then has fifty
times more pixels to learn from at every step.

References
----------
Krull, Buchholz & Jug 2019, "Noise2Void: learning denoising from single noisy images", CVPR, eq. 10.
Batson & Royer 2019, "Noise2Self: blind denoising by self-supervision", ICML, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    """Settings of Noise2Void.

    Parameters
    ----------
    masked_percent
        Pixels hidden in each patch [%].
    replace
        What stands in the place of a hidden pixel: the mean of its 8 neighbours, the median of the pixels around it,
        or one of these at random (uniform, as in the paper).
    radius
        How far median and uniform look [px].
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    masked_percent: float = 10.0
    replace: Literal["mean", "median", "uniform"] = "mean"
    radius: int = 5
    filters: int = 32
    depth: int = 2


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Look at the noise before training; say where it is correlated."""
    return settings, noise_notes(pictures, "n2v")


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    check_percent(settings.masked_percent)
    check_replacement(settings)
    return UNet(**net_options(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error at the hidden pixels, in normalised units (Krull et al., eq. 10)."""
    hidden, mask = hide(batch.source, settings.masked_percent, batch.generator, settings.replace, settings.radius)
    return error_at(mask, net(hidden), batch.source)


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts; nothing is hidden when it is used."""
    return as_denoiser(net, net_options(settings, stats), stats)
