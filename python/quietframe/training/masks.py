"""Blind spots: which pixels are hidden from the net, and what stands in their place.

References
----------
Krull, Buchholz & Jug 2019, "Noise2Void", CVPR, section 3.4 (masking). Batson & Royer 2019, "Noise2Self", ICML,
section 3.1 (the mean of the neighbours in place of a hidden pixel).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def blind_spots(shape: tuple[int, ...], percent: float, generator: torch.Generator) -> Tensor:
    """Draw the pixels to hide, each one on its own with the same probability.

    Parameters
    ----------
    shape
        Shape of the batch.
    percent
        Expected share of hidden pixels [%].
    generator
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor
        True at hidden pixels, bool, on the CPU.
    """
    return torch.rand(shape, generator=generator) < percent / 100


def neighbour_mean(images: Tensor) -> Tensor:
    """Mean of the 8 neighbours of every pixel, without the pixel: weight 1 beside, 1/2 across the corner.

    Written as sums of shifted pictures, which stay float32 where a convolution would be cast to bfloat16.

    Parameters
    ----------
    images
        Batch (N, C, Y, X), reflected at its borders.

    Returns
    -------
    Tensor
        Same shape.
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")

    def shifted(dy: int, dx: int) -> Tensor:
        return padded[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    beside = shifted(-1, 0) + shifted(1, 0) + shifted(0, -1) + shifted(0, 1)
    corners = shifted(-1, -1) + shifted(-1, 1) + shifted(1, -1) + shifted(1, 1)
    return (beside + 0.5 * corners) / 6


def hide(images: Tensor, percent: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Replace randomly drawn pixels by the mean of their neighbours.

    Parameters
    ----------
    images
        Batch (N, C, Y, X).
    percent
        Expected share of hidden pixels [%].
    generator
        Source of randomness, on the CPU.

    Returns
    -------
    hidden : Tensor
        The batch with replaced pixels.
    mask : Tensor
        True where a pixel was replaced.
    """
    mask = blind_spots(tuple(images.shape), percent, generator).to(images.device)
    return torch.where(mask, neighbour_mean(images), images), mask
