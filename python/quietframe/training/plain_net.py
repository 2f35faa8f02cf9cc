"""What methods share that train one U-Net from pictures to pictures: its options, and the denoiser around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..nets.unet import Denoiser
from .patches import DataStatistics

Normalisation = tuple[list[float], list[float]]
"""What is subtracted from each channel, and what it is then divided by."""


def net_options(settings: Any, stats: DataStatistics, **more: Any) -> dict[str, Any]:
    """Keyword arguments of the net of a method that maps pictures to pictures of the same channels.

    Parameters
    ----------
    settings
        Its ``filters`` and ``depth`` are used.
    stats
        Statistics of the pictures.
    more
        Further arguments of `UNet`.

    Raises
    ------
    OptionError
        When the net would have no filters or levels, or too many.
    """
    if not 1 <= settings.filters <= 512:
        raise OptionError(f"--filters {settings.filters}: give 1 to 512")
    if not 1 <= settings.depth <= 4:
        raise OptionError(f"--depth {settings.depth}: give 1 to 4")
    channels = {"in_channels": stats.in_channels, "out_channels": stats.in_channels} if stats.in_channels > 1 else {}
    dims = {"dims": 3} if stats.dims == 3 else {}
    return {"depth": settings.depth, "filters": settings.filters, **channels, **dims, **more}


def as_denoiser(net: nn.Module, options: Mapping[str, Any], stats: DataStatistics) -> nn.Module:
    """Put the trained net into a module from raw counts to denoised counts; nothing is hidden when it is used.

    Parameters
    ----------
    net
        A trained `UNet`.
    options
        What it was made with.
    stats
        Statistics of the pictures.
    """
    module = Denoiser(options, stats.input_mean, stats.input_std)
    module.net.load_state_dict(net.state_dict())
    return module.eval()


def restated(x: Tensor, old: Normalisation, new: Normalisation) -> Tensor:
    """Return normalised pictures under another normalisation.

    Parameters
    ----------
    x
        Pictures (N, C, [Z,] Y, X).
    old, new
        The normalisation they have, and the one they get.
    """
    (old_mean, old_std), (new_mean, new_std) = (
        [torch.tensor(values, device=x.device).reshape(1, -1, *[1] * (x.dim() - 2)) for values in part]
        for part in (old, new)
    )
    return x * (old_std / new_std) + (old_mean - new_mean) / new_std
