"""PSF blind spot: learn from single noisy pictures, with the blur of the microscope built in.

Assumes that the noise of a pixel is independent of its neighbours' and of zero mean, and that the clean picture is a
non-negative phantom blurred by a known point spread function (PSF), the same everywhere. The net gives the phantom;
only blurred by the PSF is it compared with the hidden pixels, so the picture cannot hold detail finer than the PSF, and
with it goes the high-frequency noise that a blind spot leaves. A PSF wider than the true one blurs; one too narrow
loses some of the gain. The phantom is sharper than the picture, but no measurement: much of it is guessed.

References
----------
Goncharova, Honigmann, Jug & Krull 2020, "Improving blind spot denoising for microscopy", ECCV workshops, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError, OptionError
from ..nets.unet import PhantomDenoiser, UNet
from ..training.blind_spot import check_percent, error_at, noise_notes
from ..training.masks import hide
from ..training.patches import Batch, DataStatistics, Pictures
from ..training.plain_net import net_options

DATA = "single"
"""What it learns from: noisy pictures alone."""

SCHEDULE = {"validation_percent": 0.0, "average": 0.98}
"""On one picture, the error at a few held-out pixels chose weights 0.2 dB worse than the mean of the last ones."""

LARGEST_PSF = 63
"""Height and width of a PSF picture [px]; a larger one is cropped around its middle."""


@dataclass(frozen=True)
class Settings:
    """Settings of the PSF blind spot.

    Parameters
    ----------
    psf_px
        Standard deviation of a Gaussian point spread function [px], about 0.21 wavelength / NA / pixel size.
    psf
        Picture of the point spread function instead, its peak in the middle; empty for the Gaussian.
    positivity
        Weight of what the phantom lies below black.
    black_adu
        Counts where there is no light.
    masked_percent
        Pixels hidden in each patch [%].
    filters
        Filters of the net's first level, doubled on each level below.
    depth
        Levels below the first; each one doubles how far the net sees.
    """

    psf_px: float = 1.0
    psf: str = ""
    positivity: float = 1.0
    black_adu: float = 0.0
    masked_percent: float = 10.0
    filters: int = 32
    depth: int = 3


def prepare(pictures: Pictures, settings: Settings, run: Path) -> tuple[Settings, list[str]]:
    """Look at the noise before training; say where it is correlated."""
    return settings, noise_notes(pictures, "psf_blind_spot")


def build(settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the untrained net, with the point spread function as a buffer.

    Raises
    ------
    OptionError, InputError
        When a setting is out of range, patches are volumes, or the PSF picture is none.
    """
    if stats.dims != 2:
        raise OptionError("psf_blind_spot knows the blur in planes only: leave --patch-z out")
    if not 0 <= settings.psf_px <= 10:
        raise OptionError(f"--psf-px {settings.psf_px:g}: give 0 to 10 px")
    if not 0 <= settings.positivity <= 100:
        raise OptionError(f"--positivity {settings.positivity:g}: give 0 to 100")
    check_percent(settings.masked_percent)
    net = UNet(**net_options(settings, stats))
    kernel = picture_psf(settings.psf) if settings.psf else gaussian_psf(settings.psf_px)
    net.register_buffer("psf", torch.from_numpy(kernel))
    return net


def loss(net: nn.Module, batch: Batch, settings: Settings) -> Tensor:
    """Error of the blurred phantom at the hidden pixels, and what of the phantom is negative (section 3)."""
    hidden, mask = hide(batch.source, settings.masked_percent, batch.generator)
    phantom = net(hidden).float()
    with torch.autocast(phantom.device.type, enabled=False):  # bfloat16 would round the PSF
        picture = PhantomDenoiser.blur(phantom, net.psf)  # type: ignore[arg-type]
    stats = batch.stats
    black = [(settings.black_adu - a) / b for a, b in zip(stats.input_mean, stats.input_std, strict=True)]
    below = (torch.tensor(black, device=phantom.device).reshape(1, -1, 1, 1) - phantom).clamp(min=0)
    total: Tensor = error_at(mask, picture, batch.source) + settings.positivity * below.mean()
    return total


def denoiser(net: nn.Module, settings: Settings, stats: DataStatistics) -> nn.Module:
    """Make the module from raw counts to picture and phantom; nothing is hidden when it is used."""
    state = dict(net.state_dict())
    psf = state.pop("psf").tolist()
    mean, std = stats.input_mean, stats.input_std
    module = PhantomDenoiser(net_options(settings, stats), mean, std, psf=psf, black=settings.black_adu)
    module.net.load_state_dict(state)
    return module.eval()


def gaussian_psf(sigma: float) -> NDArray[np.float32]:
    """Return a Gaussian of standard deviation `sigma` [px], of sum 1, out to 4 standard deviations."""
    radius = int(np.ceil(4 * sigma))
    distance = np.arange(-radius, radius + 1)
    line = np.exp(-(distance**2) / (2 * sigma**2)) if radius else np.ones(1)
    return np.asarray(np.outer(line, line) / line.sum() ** 2, np.float32)


def picture_psf(path: str) -> NDArray[np.float32]:
    """Read a PSF picture: a plane, of odd size around its middle, without what is negative, of sum 1."""
    from ..images import read_image

    plane: NDArray[Any] = np.squeeze(read_image(Path(path)).array).astype(np.float64)
    if plane.ndim != 2 or min(plane.shape) < 3 or not np.isfinite(plane).all() or plane.max() <= 0:
        raise InputError(f"--psf {path} has shape {plane.shape}; give one plane of 3 px or more with a bright peak")
    for axis in (0, 1):
        length = plane.shape[axis]
        keep = min(length - (length % 2 == 0), LARGEST_PSF)
        plane = np.take(plane, np.arange((length - keep + 1) // 2, (length - keep + 1) // 2 + keep), axis)
    plane = np.clip(plane, 0, None)
    return np.asarray(plane / plane.sum(), np.float32)
