"""A U-Net for pictures and volumes, and the denoiser around it that takes raw counts and gives denoised counts.

This file imports torch and nothing else: a model package ships it word for word as its ``architecture.py``, so that the
weights load wherever torch is. Everything the denoiser needs travels in plain keyword arguments.

References
----------
Ronneberger, Fischer & Brox 2015, "U-Net: convolutional networks for biomedical image segmentation", MICCAI.
LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", in Neural Networks: Tricks of the Trade.
Zhang 2019, "Making convolutional networks shift-invariant again", ICML (the blurred pooling).
Höck, Buchholz, Brachmann, Jug & Freytag 2022, "N2V2: fixing Noise2Void checkerboard artifacts with modified sampling
strategies and a tweaked network architecture", ECCV workshops (blurred pooling, no skip connection at the top).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_MAX_POOL = {2: functional.max_pool2d, 3: functional.max_pool3d}
_MEAN_POOL = {2: functional.avg_pool2d, 3: functional.avg_pool3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}
_SIGMA_WIDTH = 5
"""The signal that the noise level follows is the mean of this many pixels along each axis."""


class _FromAbove(nn.Conv2d):
    """Convolution of 3 x 3 pixels whose output depends on its own row and the two above."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (1, 1, 2, 0)))


def _down(x: Tensor, rows: int) -> Tensor:
    """Move a picture down by some rows; zeros come in."""
    return functional.pad(x, (0, 0, rows, 0))[..., : x.shape[-2], :]


def _convolutions(inputs: int, middle: int, outputs: int, dims: int, above: bool = False) -> nn.Sequential:
    """Two convolutions, 3 pixels along each axis, each followed by ReLU.

    Without batch norm: with it, the running statistics that a short run leaves shift the brightness of the result.
    First weights after LeCun et al. 1998 (section 4.6), variance 1 / inputs: in short runs on one picture they ended
    above both He's (twice that, which fits the noise sooner) and torch's own (a third of it, which starts slowly).
    """
    convolution: Any = _FromAbove if above else _CONVOLUTION[dims]
    padding = 0 if above else 1
    layers = nn.Sequential(
        convolution(inputs, middle, kernel_size=3, padding=padding),
        nn.ReLU(inplace=True),
        convolution(middle, outputs, kernel_size=3, padding=padding),
        nn.ReLU(inplace=True),
    )
    for layer in layers:
        if isinstance(layer, convolution):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(cast("Tensor", layer.bias))
    return layers


def _blur_pool(x: Tensor, dims: int) -> Tensor:
    """Halve each axis as Zhang does: maximum of 2 at every pixel, blur by 1-2-1, every second pixel.

    Two means of 2 are the 1-2-1 blur, so this needs no weights; one pixel of border on each side keeps it centred where
    plain pooling is.
    """
    x = functional.pad(x, (1, 1) * dims, mode="replicate")
    x = _MAX_POOL[dims](x, 2, stride=1)
    x = _MEAN_POOL[dims](x, 2, stride=1)
    return _MEAN_POOL[dims](x, 2)


class UNet(nn.Module):
    """U-Net on normalised pictures: pooling down, linear upsampling up, a skip connection on every level.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and of the output.
    depth
        Number of poolings; every spatial size must be a multiple of 2**depth.
    filters
        Filters of the first level, doubled on each level below.
    residual
        Whether the input (its first `out_channels` channels) is added to the output; with `noise` its local mean
        is, as far as it stands out of the noise (Wiener's weight).
    dims
        Spatial axes: 2 (Y, X) or 3 (Z, Y, X).
    pooling
        "max", or "blur" (Zhang: maximum, then blurred before every second pixel is left out).
    top_skip
        Whether the uppermost level has its skip connection; without it no pixel reaches the output unblurred.
    noise
        Variance of the noise in a pixel, in normalised units: ``a * signal + b``, as (a, b) or (a, b, least variance).
        The net then works on pictures divided by the predicted standard deviation, gets the logarithm of it as a second
        channel, and its output is multiplied by it again: one net for pictures of very different brightness.
    above
        Whether a pixel of the output may depend on its own row and those above alone (planes only).
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 2,
        filters: int = 32,
        residual: bool = False,
        dims: int = 2,
        pooling: str = "max",
        top_skip: bool = True,
        noise: Sequence[float] | None = None,
        above: bool = False,
    ) -> None:
        super().__init__()
        if depth < 1 or filters < 1:
            raise ValueError(f"a U-Net needs depth >= 1 and filters >= 1; got depth {depth}, filters {filters}")
        if dims not in _CONVOLUTION or pooling not in ("max", "blur"):
            raise ValueError(f"a U-Net has dims 2 or 3 and pooling max or blur; got dims {dims}, pooling {pooling!r}")
        self.out_channels, self.residual, self.dims, self.pooling, self.top_skip = (
            out_channels, residual, dims, pooling, top_skip,
        )  # fmt: skip
        self.above, self.depth = above, depth
        self.noise = None if noise is None else tuple(float(value) for value in noise)
        widths = [filters * 2**level for level in range(depth + 1)]
        before = [in_channels if noise is None else 2 * in_channels, *widths[:-2]]
        self.down = nn.ModuleList(_convolutions(a, b, b, dims, above) for a, b in zip(before, widths[:-1], strict=True))
        self.bottom = _convolutions(widths[-2], widths[-1], widths[-2], dims, above)
        # a level gives what the level above takes, so that upsampled and skipped channels are equal in number
        self.up = nn.ModuleList(
            _convolutions(
                widths[level] * (2 if level or top_skip else 1),
                widths[level],
                widths[max(level - 1, 0)],
                dims,
                above,
            )
            for level in range(depth - 1, -1, -1)
        )
        self.last = _CONVOLUTION[dims](widths[0], out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, [Z,] Y, X) to (N, out_channels, [Z,] Y, X)."""
        if self.noise is None:
            return self._net(x, x)
        sigma = self.sigma(x)
        scaled = x / sigma
        # what a residual net corrects is the local mean, but where the picture is nearly all noise, nothing
        mean = self._local_mean(x) / sigma
        inputs = mean * (mean**2 / (mean**2 + 1))
        return self._net(torch.cat([scaled, torch.log(sigma)], dim=1), inputs) * sigma[:, : self.out_channels]

    def sigma(self, x: Tensor) -> Tensor:
        """Predict the standard deviation of the noise, normalised units, from the local mean of the input."""
        assert self.noise is not None
        slope, variance, *least = self.noise
        least_variance = least[0] if least else 0.02 * variance
        return torch.sqrt(torch.clamp(slope * self._local_mean(x) + variance, min=least_variance))

    def _local_mean(self, x: Tensor) -> Tensor:
        pool = _MEAN_POOL[self.dims]
        return pool(x.float(), _SIGMA_WIDTH, stride=1, padding=_SIGMA_WIDTH // 2, count_include_pad=False)

    def _net(self, x: Tensor, inputs: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for convolutions in self.down:
            x = convolutions(x)
            skips.append(x)
            x = _down(x, 1) if self.above else x  # a pooled row then holds nothing below the first row it goes back to
            x = _MAX_POOL[self.dims](x, 2) if self.pooling == "max" else _blur_pool(x, self.dims)
        x = self.bottom(x)
        for level, convolutions in zip(range(len(skips) - 1, -1, -1), self.up, strict=True):
            x = self._twice(x)
            x = convolutions(torch.cat([x, skips[level]], dim=1) if level or self.top_skip else x)
        x = self.last(x)
        return x + inputs[:, : self.out_channels] if self.residual else x

    def _twice(self, x: Tensor) -> Tensor:
        if self.above:  # linear upsampling would look at the row below
            return functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return functional.interpolate(x, scale_factor=2.0, mode=_LINEAR[self.dims], align_corners=False)


class BlindSpotUNet(nn.Module):
    """A net that cannot see a pixel and its surroundings: it looks at what is above, below, left and right of them.

    One `UNet` that sees half-planes looks in four directions, its answers are moved away from the pixel, and 1x1
    convolutions put them together. The rectangle between the half-planes is out of sight, so that nothing has to be
    hidden in training, every pixel teaches, and the net meets in use what it met in training.

    Parameters
    ----------
    in_channels, out_channels, depth, filters
        As in `UNet`.
    hidden
        How far the rectangle reaches from the pixel along y and x [px].

    References
    ----------
    Laine, Karras, Lehtinen & Aila 2019, "High-quality self-supervised deep image denoising", NeurIPS, section 2.
    """

    dims = 2

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 2,
        filters: int = 32,
        hidden: Sequence[int] = (0, 0),
    ) -> None:
        super().__init__()
        self.hidden, self.depth = tuple(hidden), depth
        self.half_plane = UNet(in_channels, filters, depth, filters, above=True)
        self.join = nn.Sequential(
            nn.ReLU(), nn.Conv2d(4 * filters, 2 * filters, 1), nn.ReLU(), nn.Conv2d(2 * filters, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y, X)."""
        seen = []
        for axis, reach in zip((-2, -1), self.hidden, strict=True):
            turned = x if axis == -2 else x.transpose(-1, -2)
            both = _down(self.half_plane(torch.cat([turned, turned.flip(-2)])), reach + 1)
            above, below = both[: x.shape[0]], both[x.shape[0] :].flip(-2)
            seen += [above, below] if axis == -2 else [above.transpose(-1, -2), below.transpose(-1, -2)]
        joined: Tensor = self.join(torch.cat(seen, dim=1))
        return joined


class UNets(nn.Module):
    """The mean of several nets that differ in depth; each is trained on its own.

    Parameters
    ----------
    depths
        Depth of each net.
    net
        Further arguments of `UNet`.
    """

    def __init__(self, depths: Sequence[int] = (2, 3), **net: Any) -> None:
        super().__init__()
        self.members = nn.ModuleList(UNet(depth=depth, **net) for depth in depths)
        self.dims: int = net.get("dims", 2)
        self.depth = max(depths)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, [Z,] Y, X) to (N, out_channels, [Z,] Y, X)."""
        return cast("Tensor", sum(member(x) for member in self.members)) / len(self.members)


class Denoiser(nn.Module):
    """Raw counts in, denoised counts out: normalise, pad, `UNet`, crop, undo the normalisation.

    The normalisation is fixed, and padding (reflection, at the far end of each axis) and cropping are inside, so any
    picture of at least ``max(8, 2**depth)`` pixels along each axis works and nothing has to be undone outside.

    Parameters
    ----------
    net
        Keyword arguments of `UNet`.
    input_mean, input_std
        Normalisation of the input [counts]; one number, or one per channel.
    output_mean, output_std
        Normalisation of the output [counts]; the input's where not given.
    """

    outputs: tuple[str, ...] = ("denoised",)
    """Names of what `forward` gives."""
    net_class: type[UNet] | type[BlindSpotUNet] | type[UNets] = UNet
    """What `net` is."""

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
        self.net = self.net_class(**net)
        self.multiple = 2**self.net.depth
        for name in ("input_mean", "input_std", "output_mean", "output_std"):
            values = torch.as_tensor(self.kwargs[name], dtype=torch.float32).reshape(1, -1, *[1] * self.net.dims)
            self.register_buffer(name, values)

    def forward(self, x: Tensor) -> Tensor:
        """Map raw counts (N, C, [Z,] Y, X), float32, to denoised counts of the same sizes."""
        return (
            self.crop(self.net(self.pad((x - self.input_mean) / self.input_std)), x) * self.output_std
            + self.output_mean
        )

    def pad(self, x: Tensor) -> Tensor:
        """Reflect the far end of each spatial axis up to the next size that the net takes."""
        padding: list[Any] = []
        for axis in range(1, self.net.dims + 1):
            padding += [0, -x.shape[-axis] % self.multiple]
        return functional.pad(x, padding, mode="reflect")

    def crop(self, y: Tensor, like: Tensor) -> Tensor:
        """Cut a padded result to the spatial sizes of `like`."""
        y = y[..., : like.shape[-2], : like.shape[-1]]
        return y[..., : like.shape[-3], :, :] if self.net.dims == 3 else y


class BlindSpotDenoiser(Denoiser):
    """A `Denoiser` around a `BlindSpotUNet`; the arguments are `Denoiser`'s."""

    net_class = BlindSpotUNet


class EnsembleDenoiser(Denoiser):
    """`UNets` that take the mean over the 8 turns and reflections of a plane, and put some fine detail back.

    Parameters
    ----------
    net, input_mean, input_std, output_mean, output_std
        As in `Denoiser`, with the arguments of `UNets`.
    turns
        Whether the picture is denoised in all 8 orientations.
    kept
        Share, 0 to 1, of what was taken away that is put back, as far as it differs from the mean of the 3 pixels along
        each axis around it: the broad part of the noise is the net's to judge.

    References
    ----------
    Timofte, Rothe & Van Gool 2016, "Seven ways to improve example-based single image super resolution", CVPR
    (enhanced prediction: the mean over the turned pictures).
    """

    net_class = UNets

    def __init__(
        self,
        net: Mapping[str, Any],
        input_mean: float | Sequence[float] = 0.0,
        input_std: float | Sequence[float] = 1.0,
        output_mean: float | Sequence[float] | None = None,
        output_std: float | Sequence[float] | None = None,
        turns: bool = True,
        kept: float = 0.0,
    ) -> None:
        super().__init__(net, input_mean, input_std, output_mean, output_std)
        self.kwargs.update(turns=turns, kept=kept)
        self.turns, self.kept = turns, kept

    def forward(self, x: Tensor) -> Tensor:
        """Map raw counts (N, C, [Z,] Y, X), float32, to denoised counts of the same sizes."""
        # Padded before it is turned: else the pooling grid of a turned tile would not be that of the whole picture.
        padded = self.pad((x - self.input_mean) / self.input_std)
        result = self.net(padded)
        if self.turns:
            for number in range(1, 8):
                flips = [axis for bit, axis in ((1, -1), (2, -2)) if number & bit]
                turned = padded.flip(flips) if flips else padded
                turned = self.net(turned.transpose(-1, -2) if number & 4 else turned)
                turned = turned.transpose(-1, -2) if number & 4 else turned
                result = result + (turned.flip(flips) if flips else turned)
            result = result / 8
        denoised = self.crop(result, x) * self.output_std + self.output_mean
        if not self.kept:
            return denoised
        removed = x - denoised
        broad = _MEAN_POOL[self.net.dims](removed, 3, stride=1, padding=1, count_include_pad=False)
        return denoised + self.kept * (removed - broad)


class LaplaceDenoiser(Denoiser):
    """Raw counts in, location and scale of a Laplace distribution for each pixel out [counts].

    The net gives two channels for each of the output: location (as a correction of the input where both have as many
    channels) and the logarithm-like width that `location_and_scale` makes positive.

    Parameters
    ----------
    net, input_mean, input_std, output_mean, output_std
        As in `Denoiser`.
    scale_factor
        What the scale is multiplied with, from calibration.

    References
    ----------
    Weigert et al. 2018, "Content-aware image restoration", Nature Methods 15, 1090 (supplementary note 2).
    """

    outputs: tuple[str, ...] = ("denoised", "scale")

    def __init__(
        self,
        net: Mapping[str, Any],
        input_mean: float | Sequence[float] = 0.0,
        input_std: float | Sequence[float] = 1.0,
        output_mean: float | Sequence[float] | None = None,
        output_std: float | Sequence[float] | None = None,
        scale_factor: float = 1.0,
    ) -> None:
        super().__init__(net, input_mean, input_std, output_mean, output_std)
        self.kwargs["scale_factor"] = scale_factor
        self.scale_factor = scale_factor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Map raw counts (N, C, [Z,] Y, X), float32, to location and scale of the same sizes [counts]."""
        normal = self.pad((x - self.input_mean) / self.input_std)
        # said and not looked up: a size that is looked up cannot be exported
        net = self.kwargs["net"]
        corrects = 2 * net.get("in_channels", 1) == net.get("out_channels", 1)
        location, scale = self.location_and_scale(self.net(normal), normal, corrects)
        location, scale = self.crop(location, x), self.crop(scale, x)
        return location * self.output_std + self.output_mean, scale * (self.output_std * self.scale_factor)

    @staticmethod
    def location_and_scale(y: Tensor, x: Tensor, corrects: bool | None = None) -> tuple[Tensor, Tensor]:
        """Divide the net's output y for the input x into location and (uncalibrated) scale, normalised units.

        `corrects`: whether the location is a correction of x; where None, when it has as many channels.
        """
        location, width = y.chunk(2, dim=1)
        corrects = 2 * x.shape[1] == y.shape[1] if corrects is None else corrects
        # at least a thousandth of the targets' contrast, so that no pixel outweighs all others
        return location + x if corrects else location, functional.softplus(width) + 1e-3


class PhantomDenoiser(Denoiser):
    """Raw counts in; the picture, and the unblurred phantom that it is the blurred image of, out [counts].

    Parameters
    ----------
    net, input_mean, input_std, output_mean, output_std
        As in `Denoiser`; the net gives the phantom. Planes only.
    psf
        Point spread function, rows of equal odd length and odd number, of sum 1.
    black
        Counts without light, which the phantom does not go below.

    References
    ----------
    Goncharova et al. 2020, "Improving blind spot denoising for microscopy", ECCV workshops (section 3).
    """

    outputs: tuple[str, ...] = ("denoised", "phantom")
    psf: Tensor

    def __init__(
        self,
        net: Mapping[str, Any],
        input_mean: float | Sequence[float] = 0.0,
        input_std: float | Sequence[float] = 1.0,
        output_mean: float | Sequence[float] | None = None,
        output_std: float | Sequence[float] | None = None,
        psf: Sequence[Sequence[float]] = ((1.0,),),
        black: float = 0.0,
    ) -> None:
        super().__init__(net, input_mean, input_std, output_mean, output_std)
        self.kwargs.update(psf=[list(row) for row in psf], black=black)
        self.black = black
        self.register_buffer("psf", torch.tensor(self.kwargs["psf"], dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Map raw counts (N, C, Y, X), float32, to picture and phantom of the same height and width."""
        normal = self.net(self.pad((x - self.input_mean) / self.input_std))
        phantom = torch.clamp(normal * self.output_std + self.output_mean, min=self.black)
        return self.crop(self.blur(phantom, self.psf), x), self.crop(phantom, x)

    @staticmethod
    def blur(x: Tensor, psf: Tensor) -> Tensor:
        """Convolve each channel of (N, C, Y, X) with the point spread function; the border goes on as it ends."""
        height, width = psf.shape
        x = functional.pad(x, (width // 2, width // 2, height // 2, height // 2), mode="replicate")
        # a convolution in the sense of torch is a correlation: turned by half, it is one in the sense of optics
        kernel = torch.flip(psf, (0, 1))[None, None]
        return torch.cat([functional.conv2d(x[:, c : c + 1], kernel) for c in range(x.shape[1])], dim=1)
