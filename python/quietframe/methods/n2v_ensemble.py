"""The best denoiser here for a single picture: two Noise2Void nets, the mean over 8 turns, some fine detail put back.

Assumes what Noise2Void assumes: noise independent from pixel to pixel and of zero mean; correlated noise is kept as if
it were signal. Noisy pictures only. Training on turned patches leaves a net a little different in each orientation, so
the mean over all 8, of two nets of different depth, is nearer to the truth than any of them, at 20 times the work of
each use; the module holds all of it. The longer a net learns to predict pixels from their surroundings, the less it
makes of the pixels themselves, although what they show is independent of the prediction's error: a share of what was
taken away is put back, after the posterior mean of both (Krull et al. 2020, with one ratio of variances for all
pixels). Only its fine part is: the broad part of the noise, over 3 pixels and more, is in the prediction already.

References
----------
Krull, Buchholz & Jug 2019, "Noise2Void: learning denoising from single noisy images", CVPR, eq. 10.
Timofte, Rothe & Van Gool 2016, "Seven ways to improve example-based single image super resolution", CVPR.
Krull, Vičar, Prakash, Lalit & Jug 2020, "Probabilistic Noise2Void", Frontiers in Computer Science.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..nets.unet import EnsembleDenoiser, UNets
from ..training.blind_spot import check_percent, error_at, noise_notes
from ..training.masks import hide
from ..training.patches import Batch, DataStatistics, Pictures
from ..training.plain_net import net_options

DATA = "single"
"""What it learns from: noisy pictures alone."""

SCHEDULE = {"steps": 700, "batch_size": 8, "validation_percent": 0.0}


@dataclass(frozen=True)
class Settings:
    """Settings of the ensemble.

    Parameters
    ----------
    masked_percent
        Pixels hidden in each patch [%].
    turns
        Whether the picture is denoised in all 8 orientations; without it, use is 8 times faster.
    kept_percent
        Share of the fine part of what was taken away that is put back [%].
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first of the deeper net; each one doubles how far it sees. The other one has a level less.
    """

    masked_percent: float = 10.0
    turns: bool = True
    kept_percent: float = 8.0
    filters: int = 32
    depth: int = 3


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Look at the noise before training; say where it is correlated."""
    return settings, noise_notes(pictures, "n2v_ensemble")


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    check_percent(settings.masked_percent)
    if not 0 <= settings.kept_percent <= 50:
        raise OptionError(f"--kept-percent {settings.kept_percent:g}: give 0 to 50")
    if settings.depth < 2:
        raise OptionError(f"--depth {settings.depth}: give 2 to 4, since the other net has a level less")
    return UNets(**_nets(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error of each net at the hidden pixels, in normalised units (Krull et al. 2019, eq. 10)."""
    hidden, mask = hide(batch.source, settings.masked_percent, batch.generator)
    members = getattr(net, "members", [net])
    return torch.stack([error_at(mask, member(hidden), batch.source) for member in members]).sum()


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts, all orientations inside."""
    options = _nets(settings, stats)
    kept = settings.kept_percent / 100
    module = EnsembleDenoiser(options, stats.input_mean, stats.input_std, turns=settings.turns, kept=kept)
    module.net.load_state_dict(net.state_dict())
    return module.eval()


def _nets(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    options = net_options(settings, stats)
    depth = options.pop("depth")
    return {"depths": [depth - 1, depth], **options}
