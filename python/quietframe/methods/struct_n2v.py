"""StructN2V: Noise2Void for noise that neighbouring pixels share; all of them are hidden together.

Assumes that noise is correlated over a few pixels only, in the same way everywhere, and that signal is correlated over
more. By default the mask is measured: every distance at which the noise of one picture is correlated is hidden (see
`quietframe.metrics.noise_correlation`; the run folder gets noise_correlation.png). Details narrower than the mask are
lost; where noise is white, n2v keeps them.

References
----------
Broaddus, Krull, Weigert, Schmidt & Myers 2020, "Removing structured noise with self-supervised blind-spot networks",
ISBI, section 2 (masks that cover the correlated neighbours).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError, OptionError, unknown
from ..images import read_image
from ..nets.unet import UNet
from ..training.blind_spot import as_denoiser, draw_correlation, error_at, measure_noise, net_options, reach_of
from ..training.masks import hide_neighbourhoods
from ..training.patches import Batch, DataStatistics, Pictures

DATA = "single"
"""What it learns from: noisy pictures alone."""

MASKS = ("auto", "line-x", "line-y", "cross", "square")
LARGEST = 10  # px; a patch of 64 px must show more than it hides
SHARED = 0.08  # correlation below which noise counts as independent


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
    margin
        Neighbours on each side that are predicted together with a hidden pixel.
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    mask: str = "auto"
    reach: int = 4
    margin: int = 1
    filters: int = 32
    depth: int = 3


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Turn the mask into rows of 0 and 1; measure it where it is auto, and draw what was measured.

    Raises
    ------
    OptionError
        When the reach is out of range.
    InputError
        When a drawn mask has no middle.
    """
    if not 1 <= settings.reach <= LARGEST:
        raise OptionError(f"--reach {settings.reach}: give 1 to {LARGEST}")
    notes = []
    if settings.mask == "auto":
        found = measure_noise(pictures)
        if found is None:
            raise InputError("the pictures are too small to measure their noise; give --mask and --reach")
        reach = reach_of(found, SHARED)
        pattern = np.ones([2 * r + 1 for r in reach], bool)
        draw_correlation(run / "noise_correlation.png", found, pattern)
        notes.append(
            f"noise correlated by {found.x:.2f} (x) and {found.y:.2f} (y) one pixel apart, above {SHARED} up to "
            f"{reach[1]} px along x and {reach[0]} px along y: {pattern.shape[0]} x {pattern.shape[1]} px are hidden"
        )
        if reach == (0, 0):
            notes.append("the noise is white, so single pixels are hidden; n2v learns more from such pictures")
    else:
        pattern = _shape(settings.mask, settings.reach)
    rows = "/".join("".join("01"[int(on)] for on in row) for row in pattern)
    return replace(settings, mask=f"rows:{rows}"), notes


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net.

    Raises
    ------
    OptionError
        When a setting is out of range.
    """
    if not 0 <= settings.margin <= 3:
        raise OptionError(f"--margin {settings.margin}: give 0 to 3")
    return UNet(**net_options(settings, stats))


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Mean squared error at pixels whose correlated neighbours are hidden with them, in normalised units."""
    hidden, mask = hide_neighbourhoods(batch.source, _pattern(settings.mask), settings.margin, batch.generator)
    return error_at(mask, net(hidden), batch.source)


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to denoised counts; nothing is hidden when it is used."""
    return as_denoiser(net, net_options(settings, stats), stats)


@lru_cache
def _pattern(mask: str) -> Tensor:
    rows = mask.removeprefix("rows:").split("/")
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
    drawn = read_image(mask).array != 0
    if drawn.ndim != 2 or not all(size % 2 and size <= 2 * LARGEST + 1 for size in drawn.shape):
        raise InputError(f"{mask} has shape {drawn.shape}; draw a mask of odd height and width up to {2 * LARGEST + 1}")
    drawn[drawn.shape[0] // 2, drawn.shape[1] // 2] = True
    return drawn
