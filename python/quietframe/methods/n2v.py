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
from typing import Any

from torch import Tensor, nn

from ..errors import OptionError
from ..nets.unet import Denoiser, UNet
from ..training.masks import hide
from ..training.patches import Batch, DataStatistics

DATA = "single"
"""What it learns from: noisy pictures alone."""


@dataclass(frozen=True)
class Settings:
    """Settings of Noise2Void.

    Parameters
    ----------
    masked_percent
        Pixels hidden in each patch [%].
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    masked_percent: float = 10.0
    filters: int = 32
    depth: int = 2


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    if not 0.1 <= settings.masked_percent <= 50:
        raise OptionError(f"--masked-percent {settings.masked_percent:g}: give 0.1 to 50")
    if not 1 <= settings.filters <= 512:
        raise OptionError(f"--filters {settings.filters}: give 1 to 512")
    if not 1 <= settings.depth <= 4:
        raise OptionError(f"--depth {settings.depth}: give 1 to 4")
    return UNet(**_net(settings))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error at the hidden pixels, in normalised units (Krull et al., eq. 10)."""
    hidden, mask = hide(batch.source, settings.masked_percent, batch.generator)
    squares: Tensor = (net(hidden).float() - batch.source) ** 2
    return (squares * mask).sum() / mask.sum().clamp(min=1)


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts; nothing is hidden when it is used."""
    module = Denoiser(_net(settings), stats.input_mean, stats.input_std)
    module.net.load_state_dict(net.state_dict())
    return module.eval()


def _net(settings: Settings) -> dict[str, Any]:
    return {"depth": settings.depth, "filters": settings.filters}
