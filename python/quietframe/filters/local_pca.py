"""Keep, in small blocks of space and time, only the patterns that noise cannot explain: Marchenko-Pastur PCA.

Use it when a time series or a ramp has signals that differ from place to place and white noise of about the same
strength within a block; events in a single frame and a single pixel are lost. For one pattern everywhere see pca.

Overlapping blocks of --frames x --patch x --patch pixels become matrices, frames against pixels, and the mean over
time of each pixel is taken out and put back. Components above the edge of Marchenko and Pastur's law are kept, with
--shrinkage optimal multiplied by the weight of least mean squared error. The variance of the noise is --noise-sigma
squared, or else found from the spectrum of each block, so that it may change over the picture (for blocks too small
for that, from the finest wavelet coefficients). Where blocks overlap their results are averaged. Blocks lie wholly
inside; larger ones than the stack are cut to it. Double precision inside blocks. A single frame comes back as it is.

References
----------
Veraart et al. 2016, "Denoising of diffusion MRI using random matrix theory", NeuroImage 142, 394-406.
Gavish & Donoho 2017, "Optimal shrinkage of singular values", IEEE Transactions on Information Theory 63, 2137-2152.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels.low_rank import filter_matrices, spectrum_tells
from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_noise_sigma, require_one_of, require_whole
from ..kernels.ordered import in_order
from ..kernels.pixels import require_pixels

AXES = "TYX"
NOISE = "gaussian"
GRID = {"patch": (3, 5, 7, 9), "frames": (8, 16, 32)}


@dataclass(frozen=True)
class Settings:
    """Settings of the local principal component analysis.

    Parameters
    ----------
    patch
        Height and width of the blocks [px].
    frames
        Length of the blocks; more than 32, with patches of more than 32 px, takes much longer.
    step
        Distance between neighbouring blocks along Y and X [px], at most the patch; along time it is half of --frames.
    shrinkage
        Optimal reduces components near the noise, hard keeps them as they are.
    noise_sigma
        Standard deviation of the noise in the unit of the stack; found from each block when not given.
    """

    patch: int = 7
    frames: int = 32
    step: int = 3
    shrinkage: Literal["optimal", "hard"] = "optimal"
    noise_sigma: float | None = None

    def __post_init__(self) -> None:
        require_whole("patch", self.patch, 1, 64, "px")
        require_whole("frames", self.frames, 2, 1000)
        require_whole("step", self.step, 1, self.patch, "px (the patch)")
        require_one_of("shrinkage", self.shrinkage, ("optimal", "hard"))
        require_noise_sigma(self.noise_sigma)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return None: where blocks lie depends on where the stack begins and ends."""
    return None


def _starts(length: int, block: int, step: int) -> NDArray[Any]:
    return np.unique(np.append(np.arange(0, length - block, step), length - block))


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one stack.

    Parameters
    ----------
    image
        (T, Y, X).
    settings
        Blocks and noise.

    Returns
    -------
    ndarray of float32, shape (T, Y, X)
    """
    stack = require_pixels(image, AXES)
    if len(stack) == 1:
        return stack.astype(np.float32)
    block = [
        min(want, has) for want, has in zip((settings.frames, settings.patch, settings.patch), stack.shape, strict=True)
    ]
    steps = (max(1, block[0] // 2), settings.step, settings.step)
    starts = [_starts(*axis) for axis in zip(stack.shape, block, steps, strict=True)]
    noise = settings.noise_sigma
    if not spectrum_tells(block[0], block[1] * block[2]):
        noise = noise_sigma_or_estimate(noise, stack)

    def strip(corner: tuple[Any, ...]) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
        """Filter the row of blocks that begins in one frame and one line; return the sum of their results."""
        where = tuple(slice(start, start + width) for start, width in zip(corner, block, strict=False))
        views = np.lib.stride_tricks.sliding_window_view(stack[where], block[2], axis=2)[:, :, starts[2]]
        matrices = views.transpose(2, 0, 1, 3).reshape(len(starts[2]), block[0], -1).astype(np.float64)
        variance = None if noise is None else noise**2
        result = filter_matrices(matrices, variance, settings.shrinkage).reshape(len(starts[2]), *block)
        total = np.zeros((block[0], block[1], stack.shape[2]))
        for column in range(block[2]):
            total[:, :, starts[2] + column] += result[:, :, :, column].transpose(1, 2, 0)
        return (where[0], where[1]), total

    out = np.zeros(stack.shape, dtype=np.float32)
    for where, total in in_order(strip, product(starts[0], starts[1])):
        out[where] += total
    for axis, (first, width) in enumerate(zip(starts, block, strict=True)):
        covered = np.zeros(stack.shape[axis], dtype=np.float32)
        np.add.at(covered, (first[:, None] + np.arange(width)).ravel(), 1)
        out /= covered.reshape([-1 if other == axis else 1 for other in range(3)])
    return out
