"""Noise2Self: learn from single noisy pictures, with hidden pixels on a regular grid.

Assumes that the noise of a pixel is independent of its neighbours' and of zero mean, as Noise2Void does. A hidden pixel
is never beside another one, so each is predicted from eight seen neighbours. Noisy pictures only.

References
----------
Batson & Royer 2019, "Noise2Self: blind denoising by self-supervision", ICML, proposition 1 and section 3.1 (grids, the
mean of the neighbours in the place of a hidden pixel).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..errors import OptionError
from ..nets.unet import UNet
from ..training.blind_spot import error_at, noise_notes
from ..training.masks import grid_spots, replaced
from ..training.patches import Batch, DataStatistics, Pictures
from ..training.plain_net import as_denoiser, net_options

DATA = "single"
"""What it learns from: noisy pictures alone."""

SCHEDULE = {"validation_percent": 0.0}  # on one picture, what is held out is missed: up to 0.4 dB on one set at 5 %


@dataclass(frozen=True)
class Settings:
    """Settings of Noise2Self.

    Parameters
    ----------
    spacing
        Distance of hidden pixels along each axis [px]; 3 hides one in nine.
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    spacing: int = 3
    filters: int = 32
    depth: int = 2


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Look at the noise before training; say where it is correlated."""
    return settings, noise_notes(pictures, "noise2self")


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    if not 2 <= settings.spacing <= 8:
        raise OptionError(f"--spacing {settings.spacing}: give 2 to 8")
    return UNet(**net_options(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error at the hidden pixels, in normalised units (Batson & Royer, proposition 1)."""
    source = batch.source
    mask = grid_spots(tuple(source.shape), settings.spacing, batch.generator).to(source.device)
    return error_at(mask, net(replaced(source, mask, "mean", 1, batch.generator)), source)


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts; nothing is hidden when it is used."""
    return as_denoiser(net, net_options(settings, stats), stats)
