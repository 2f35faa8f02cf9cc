"""What methods share that train one U-Net from pictures to pictures: its options, and the denoiser around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..errors import OptionError
from ..nets.unet import Denoiser
from .patches import DataStatistics


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
