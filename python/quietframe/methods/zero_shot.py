"""Zero-shot: a small net learns in seconds from one noisy picture, halved in size two ways; for a quick look.

Assumes that the noise of a pixel is independent of its neighbours' and of zero mean, and that the picture is smooth
enough for two diagonal pairs of each 2 x 2 block to have the same mean. The two half-size pictures of such means are a
Noise2Noise pair: the net learns to predict one from the other, and to do on the full size what it does on the halves.

What it loses for its speed: it learns at half the resolution, so detail of one or two pixels is softened; the net is
small and sees few steps, so it ends below ``n2v`` with its 400 steps (the benchmarks say how far). Noise that is
correlated between pixels is taken for signal. Instead of the paper's three convolutions on the whole picture this is a
U-Net of 16 filters on patches that gives the picture and not its noise: in equal time it ended 0.5 to 1.1 dB above them
on two real pictures.

References
----------
Mansour & Heckel 2023, "Zero-shot Noise2Noise: efficient image denoising without any data", CVPR, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..nets.unet import UNet
from ..training.blind_spot import noise_notes
from ..training.patches import Batch, DataStatistics, Pictures
from ..training.plain_net import as_denoiser, net_options

DATA = "single"
"""What it learns from: noisy pictures alone."""

SCHEDULE = {"steps": 130, "learning_rate": 2e-3, "validation_percent": 0.0}
"""A few seconds of training; without held-out patches the last weights are kept, and none of the time goes there."""


@dataclass(frozen=True)
class Settings:
    """Settings of the zero-shot net.

    Parameters
    ----------
    consistency
        Weight of the agreement between the net on the full size and on the halves; the error of the halves has 1.
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    consistency: float = 1.0
    filters: int = 16
    depth: int = 2


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Look at the noise before training; say where it is correlated."""
    return settings, noise_notes(pictures, "zero_shot")


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range, or patches are volumes.
    """
    if stats.dims != 2:
        raise OptionError("zero_shot halves planes: leave --patch-z out, z is then taken as samples")
    if not 0 <= settings.consistency <= 10:
        raise OptionError(f"--consistency {settings.consistency:g}: give 0 to 10")
    return UNet(**_net(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Error of each half against the other, and disagreement of full size and halves (Mansour & Heckel, section 3)."""
    first, second = halves(batch.source)
    from_first, from_second = net(torch.cat([first, second])).float().chunk(2)
    error = _mean_square(from_first - second) + _mean_square(from_second - first)
    if settings.consistency:
        of_first, of_second = halves(net(batch.source).float())
        error = error + settings.consistency * (
            _mean_square(from_first - of_first) + _mean_square(from_second - of_second)
        )
    return error / 2


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts."""
    return as_denoiser(net, _net(settings, stats), stats)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of the two diagonals of each 2 x 2 block: (N, C, Y, X) to twice (N, C, Y / 2, X / 2)."""
    rising = (x[..., 1::2, 0::2] + x[..., 0::2, 1::2]) / 2
    falling = (x[..., 0::2, 0::2] + x[..., 1::2, 1::2]) / 2
    return rising, falling


def _mean_square(difference: Tensor) -> Tensor:
    squares: Tensor = difference**2
    return squares.mean()


def _net(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    return net_options(settings, stats)
