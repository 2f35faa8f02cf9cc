"""StructN2V: Noise2Void for noise that neighbouring pixels share; all of them are hidden together.

Assumes that noise is correlated over a few pixels only, in the same way everywhere, and that signal is correlated over
more. By default the mask is measured: every distance at which the noise of one picture is correlated is hidden (see
`quietframe.metrics.noise_correlation`; the run folder gets noise_correlation.png). Details narrower than the mask are
lost; where noise is white, n2v keeps them.

Lines and squares are cut out of the net's own view (Laine et al., section 2), so every pixel teaches and nothing is
hidden in use either. Where pixels are only hidden in training, as in the paper and here for crosses and drawn masks,
the net sees them in use and lets a part of the correlated noise through.

References
----------
Broaddus, Krull, Weigert, Schmidt & Myers 2020, "Removing structured noise with self-supervised blind-spot networks",
ISBI, section 2 (masks that cover the correlated neighbours).
Laine, Karras, Lehtinen & Aila 2019, "High-quality self-supervised deep image denoising", NeurIPS, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError, OptionError, unknown
from ..images import read_image
from ..nets.unet import BlindSpotDenoiser, BlindSpotUNet, UNet
from ..training.blind_spot import auto_mask, error_at
from ..training.masks import hide_neighbourhoods
from ..training.patches import Batch, DataStatistics, Pictures
from ..training.plain_net import as_denoiser, net_options

DATA = "single"
"""What it learns from: noisy pictures alone."""

SCHEDULE = {"steps": 300, "batch_size": 8, "validation_percent": 0.0}
MASKS = ("auto", "line-x", "line-y", "cross", "square")
LARGEST = 10  # px; a patch of 64 px must show more than it hides


@dataclass(frozen=True)
class Settings:
    """Settings of StructN2V.

    Parameters
    ----------
    mask
        Pixels hidden together: auto measures them, line-x, line-y, cross and square reach as far as --reach says, and a
        picture file (odd height and width, not zero where hidden, around its middle) draws them.
    reach
        How far lines, crosses and squares reach from the hidden pixel [px].
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    mask: str = "auto"
    reach: int = 4
    filters: int = 32
    depth: int = 2


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Turn the mask into rows of 0 and 1; measure it where it is auto, and draw what was measured.

    Raises
    ------
    OptionError
        When the reach is out of range.
    InputError
        When a drawn mask has no middle, or pictures are too small to measure one.
    """
    if not 1 <= settings.reach <= LARGEST:
        raise OptionError(f"--reach {settings.reach}: give 1 to {LARGEST}")
    if settings.mask == "auto":
        pattern, notes = auto_mask(pictures, run / "noise_correlation.png")
    else:
        pattern, notes = _shape(settings.mask, settings.reach), []
    rows = "/".join("".join("01"[int(on)] for on in row) for row in pattern)
    return replace(settings, mask=f"rows:{rows}"), notes


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range, or the net would be for volumes.
    """
    net = BlindSpotUNet if _pattern(settings).all() else UNet
    return net(**_net(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error at pixels that are out of the net's sight with all that share their noise."""
    pattern, source = _pattern(settings), batch.source
    if pattern.all():
        return functional.mse_loss(net(source).float(), source)
    hidden, mask = hide_neighbourhoods(source, pattern, 1, batch.generator)
    return error_at(mask, net(hidden), source)


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts."""
    if not _pattern(settings).all():
        return as_denoiser(net, _net(settings, stats), stats)
    module = BlindSpotDenoiser(_net(settings, stats), stats.input_mean, stats.input_std)
    module.net.load_state_dict(net.state_dict())
    return module.eval()


def _net(settings: Settings, stats: DataStatistics) -> dict[str, Any]:
    if stats.dims == 3:
        raise OptionError("struct_n2v trains planes; leave out --patch-z")
    pattern = _pattern(settings)
    return net_options(settings, stats, **({"hidden": [n // 2 for n in pattern.shape]} if pattern.all() else {}))


def _pattern(settings: Settings) -> Tensor:
    rows = settings.mask.removeprefix("rows:").split("/")
    return torch.tensor([[letter == "1" for letter in row] for row in rows])


def _shape(mask: str, reach: int) -> NDArray[np.bool_]:
    """Return True at the pixels of a mask, the hidden one in the middle."""
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    if mask == "line-x":
        return np.ones((1, 2 * reach + 1), bool)
    if mask == "line-y":
        return np.ones((2 * reach + 1, 1), bool)
    if mask in ("cross", "square"):
        cross: NDArray[np.bool_] = (y == 0) | (x == 0) | (mask == "square")
        return cross
    if not Path(mask).is_file():
        raise unknown("mask", mask, [*MASKS, "or a picture file"])
    drawn: NDArray[np.bool_] = read_image(mask).array != 0
    if drawn.ndim != 2 or not all(size % 2 and size <= 2 * LARGEST + 1 for size in drawn.shape):
        raise InputError(f"{mask} has shape {drawn.shape}; draw a mask of odd height and width up to {2 * LARGEST + 1}")
    drawn[drawn.shape[0] // 2, drawn.shape[1] // 2] = True
    return drawn
