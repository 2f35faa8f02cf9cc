"""CARE: learn from pairs of a noisy and a clean (or less noisy) picture of the same scene.

Assumes that pictures and targets are registered to the pixel and differ in noise, exposure and optics only. The net
adds a correction to the normalised noisy picture and is normalised with the statistics of the targets, so it gives the
targets' units. Targets may be noisy themselves, if their noise is independent of the input's: the squared error then
leads to the same net as clean targets would (Lehtinen et al., section 2).

Where the recipe of Weigert et al. lost on small real sets, the settings common to all methods stand: on two sets their
percentile normalisation cost 0.2 to 0.4 dB, their rate of 4e-4 0.3 dB on one; the absolute error was 0.15 dB better on
one and 0.13 dB worse on the other. A fifth of the patches held out, and a larger rate, cost about 1 dB on one.

References
----------
Weigert et al. 2018, "Content-aware image restoration", Nature Methods 15, 1090 (supplementary note 2, eq. 2: the loss).
Lehtinen et al. 2018, "Noise2Noise: learning image restoration without clean data", ICML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from ..errors import unknown
from ..nets.unet import Denoiser, UNet
from ..training.patches import Batch, DataStatistics
from ..training.plain_net import net_options

DATA = "pairs"
"""What it learns from: a target for each picture."""


@dataclass(frozen=True)
class Settings:
    """Settings of CARE.

    Parameters
    ----------
    loss
        Squared error (mse), right for targets that are noisy themselves, or absolute error (mae), which forgives
        outliers.
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    loss: Literal["mse", "mae"] = "mse"
    filters: int = 32
    depth: int = 2


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    if settings.loss not in ("mse", "mae"):
        raise unknown("loss", settings.loss, ["mse", "mae"])
    return UNet(**_net(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared or mean absolute error against the target, in units of the targets' normalisation."""
    assert batch.target is not None
    error = functional.mse_loss if settings.loss == "mse" else functional.l1_loss
    return error(net(batch.source).float(), batch.target)


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts in the targets' units."""
    normalisation = stats.input_mean, stats.input_std, stats.output_mean, stats.output_std
    module = Denoiser(_net(settings, stats), *normalisation)
    module.net.load_state_dict(net.state_dict())
    return module.eval()


def _net(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    residual = stats.in_channels == stats.out_channels
    return net_options(settings, stats, out_channels=stats.out_channels, residual=residual)
