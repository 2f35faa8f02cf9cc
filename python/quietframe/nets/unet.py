"""A 2D U-Net, and the denoiser around it that takes raw counts and gives denoised counts.

This file imports torch and nothing else: a model package ships it word for word as its ``architecture.py``, so that the
weights load wherever torch is. Everything the denoiser needs travels in plain keyword arguments.

References
----------
Ronneberger, Fischer & Brox 2015, "U-Net: convolutional networks for biomedical image segmentation", MICCAI.
LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", in Neural Networks: Tricks of the Trade.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def _convolutions(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by ReLU.

    Without batch norm: with it, the running statistics that a short run leaves shift the brightness of the result.
    First weights after LeCun et al. 1998 (section 4.6), variance 1 / inputs: in short runs on one picture they ended
    above both He's (twice that, which fits the noise sooner) and torch's own (a third of it, which starts slowly).
    """
    layers = nn.Sequential(
        nn.Conv2d(inputs, middle, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(middle, outputs, kernel_size=3, padding=1),
        nn.ReLU(),
    )
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(cast("Tensor", layer.bias))
    return layers


class UNet(nn.Module):
    """U-Net on normalised pictures: max pooling down, bilinear upsampling up, a skip connection on every level.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and of the output.
    depth
        Number of poolings; height and width must be multiples of 2**depth.
    filters
        Filters of the first level, doubled on each level below.
    residual
        Whether the input (its first `out_channels` channels) is added to the output.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 2,
        filters: int = 32,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if depth < 1 or filters < 1:
            raise ValueError(f"a U-Net needs depth >= 1 and filters >= 1; got depth {depth}, filters {filters}")
        self.out_channels = out_channels
        self.residual = residual
        widths = [filters * 2**level for level in range(depth + 1)]
        before = [in_channels, *widths[:-2]]
        self.down = nn.ModuleList(_convolutions(a, b, b) for a, b in zip(before, widths[:-1], strict=True))
        self.bottom = _convolutions(widths[-2], widths[-1], widths[-2])
        # a level gives what the level above takes, so that upsampled and skipped channels are equal in number
        self.up = nn.ModuleList(
            _convolutions(2 * widths[level], widths[level], widths[max(level - 1, 0)])
            for level in range(depth - 1, -1, -1)
        )
        self.last = nn.Conv2d(widths[0], out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y, X)."""
        inputs = x
        skips: list[Tensor] = []
        for convolutions in self.down:
            x = convolutions(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for convolutions, skip in zip(self.up, reversed(skips), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = convolutions(torch.cat([x, skip], dim=1))
        x = self.last(x)
        return x + inputs[:, : self.out_channels] if self.residual else x


class Denoiser(nn.Module):
    """Raw counts in, denoised counts out: normalise, pad, `UNet`, crop, undo the normalisation.

    The normalisation is fixed, and padding (reflection, at the lower and right border) and cropping are inside, so any
    height and width of at least ``max(8, 2**depth)`` pixels works and nothing has to be undone outside.

    Parameters
    ----------
    net
        Keyword arguments of `UNet`.
    input_mean, input_std
        Normalisation of the input [counts]; one number, or one per channel.
    output_mean, output_std
        Normalisation of the output [counts]; the input's where not given.
    """

    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(
        self,
        net: Mapping[str, Any],
        input_mean: float | Sequence[float] = 0.0,
        input_std: float | Sequence[float] = 1.0,
        output_mean: float | Sequence[float] | None = None,
        output_std: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        output_mean = input_mean if output_mean is None else output_mean
        output_std = input_std if output_std is None else output_std
        self.kwargs: dict[str, Any] = {
            "net": dict(net),
            "input_mean": input_mean,
            "input_std": input_std,
            "output_mean": output_mean,
            "output_std": output_std,
        }
        """The arguments this was made with, complete and of plain types."""
        self.net = UNet(**net)
        self.multiple = 2 ** len(self.net.down)
        for name in ("input_mean", "input_std", "output_mean", "output_std"):
            values = torch.as_tensor(self.kwargs[name], dtype=torch.float32).reshape(1, -1, 1, 1)
            self.register_buffer(name, values)

    def forward(self, x: Tensor) -> Tensor:
        """Map raw counts (N, C, Y, X), float32, to denoised counts of the same height and width."""
        height, width = x.shape[-2], x.shape[-1]
        x = (x - self.input_mean) / self.input_std
        x = functional.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="reflect")
        x = self.net(x)[..., :height, :width]
        return x * self.output_std + self.output_mean
