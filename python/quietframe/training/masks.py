"""Blind spots: which pixels are hidden from the net, and what stands in their place.

References
----------
Krull, Buchholz & Jug 2019, "Noise2Void", CVPR, section 3.4 (masking, a random neighbour in place of a hidden pixel).
Batson & Royer 2019, "Noise2Self", ICML, section 3.1 (grids of hidden pixels, the mean of their neighbours).
Höck et al. 2022, "N2V2", ECCV workshops (the median of the neighbours).
Broaddus, Krull, Weigert, Schmidt & Myers 2020, "Removing structured noise with self-supervised blind-spot networks",
ISBI, section 2 (a whole neighbourhood is hidden with the pixel).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

REPLACEMENTS = ("mean", "median", "uniform")
"""What can stand in the place of a hidden pixel."""


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


def grid_spots(shape: tuple[int, ...], spacing: int, generator: torch.Generator) -> Tensor:
    """Hide every `spacing`-th pixel along each spatial axis; where the grid starts is drawn anew for each picture.

    Parameters
    ----------
    shape
        Shape of the batch (N, C, Y, X) or (N, C, Z, Y, X).
    spacing
        Distance of hidden pixels [px].
    generator
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor
        True at hidden pixels, bool, on the CPU.
    """
    count, _, *sizes = shape
    mask = torch.ones(shape, dtype=torch.bool)
    for axis, size in enumerate(sizes):
        starts = torch.randint(spacing, (count, 1), generator=generator)
        on = (torch.arange(size) - starts) % spacing == 0
        mask &= on.reshape(count, 1, *(size if other == axis else 1 for other in range(len(sizes))))
    return mask


def neighbour_mean(images: Tensor) -> Tensor:
    """Mean of the neighbours of every pixel, without the pixel, weighted with 1 / distance**2.

    In planes that is 1 beside and 1/2 across the corner. Written as sums of shifted pictures, which stay float32 where
    a convolution would be cast to bfloat16.

    Parameters
    ----------
    images
        Batch (N, C, Y, X) or (N, C, Z, Y, X), reflected at its borders.

    Returns
    -------
    Tensor
        Same shape.
    """
    sizes = images.shape[2:]
    # a volume that is one plane thick has nothing to reflect along z
    padded = functional.pad(images, (1, 1) * len(sizes), mode="reflect" if min(sizes) > 1 else "replicate")
    total, weights = torch.zeros_like(images), 0.0
    for step in itertools.product((-1, 0, 1), repeat=len(sizes)):
        if any(step):
            weight = 1 / sum(part * part for part in step)
            region = tuple(slice(1 + part, 1 + part + size) for part, size in zip(step, sizes, strict=True))
            total = total.add(padded[:, :, *region], alpha=weight)
            weights += weight
    return total / weights


def _neighbours(images: Tensor, mask: Tensor, radius: int) -> Tensor:
    """Values around each hidden pixel in its plane, without the pixel: (hidden, (2 radius + 1)**2 - 1)."""
    places = list(mask.nonzero(as_tuple=True))
    side = torch.arange(-radius, radius + 1, device=images.device)
    dy, dx = (part.reshape(-1) for part in torch.meshgrid(side, side, indexing="ij"))
    away = (dy != 0) | (dx != 0)
    for axis, step in ((-2, dy[away]), (-1, dx[away])):
        size = images.shape[axis]
        there, opposite = places[axis][:, None] + step, places[axis][:, None] - step
        # beyond the border the opposite pixel stands in; a reflection would bring the hidden pixel itself back
        places[axis] = torch.where((there >= 0) & (there < size), there, opposite).clamp(0, size - 1)
    places[:-2] = [place[:, None] for place in places[:-2]]
    return images[tuple(places)]


def replaced(images: Tensor, mask: Tensor, replace: str, radius: int, generator: torch.Generator) -> Tensor:
    """Put something that does not hold a hidden pixel into its place.

    Parameters
    ----------
    images
        Batch (N, C, Y, X) or (N, C, Z, Y, X).
    mask
        True where a pixel is hidden.
    replace
        "mean" of the direct neighbours, "median" of the pixels within `radius`, or one of these at random ("uniform").
    radius
        How far the replacement is taken from, in the plane [px].
    generator
        Source of randomness, on the CPU.
    """
    if replace == "mean":
        return torch.where(mask, neighbour_mean(images), images)
    values = _neighbours(images, mask, radius)
    if replace == "median":
        chosen = values.median(dim=1).values
    else:
        draw = torch.randint(values.shape[1], (values.shape[0], 1), generator=generator).to(images.device)
        chosen = values.gather(1, draw)[:, 0]
    hidden = images.clone()
    hidden[mask] = chosen
    return hidden


def hide(
    images: Tensor, percent: float, generator: torch.Generator, replace: str = "mean", radius: int = 1
) -> tuple[Tensor, Tensor]:
    """Replace randomly drawn pixels.

    Parameters
    ----------
    images
        Batch (N, C, Y, X) or (N, C, Z, Y, X).
    percent
        Expected share of hidden pixels [%].
    generator
        Source of randomness, on the CPU.
    replace, radius
        As in `replaced`.

    Returns
    -------
    hidden : Tensor
        The batch with replaced pixels.
    mask : Tensor
        True where a pixel was replaced.
    """
    mask = blind_spots(tuple(images.shape), percent, generator).to(images.device)
    return replaced(images, mask, replace, radius, generator), mask


def hide_neighbourhoods(
    images: Tensor, pattern: Tensor, margin: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hide pixels together with all pixels whose noise they share; other parts of the same patch stand in their place.

    What stands there is a piece of the patch from just beyond the neighbourhood: it looks like the picture, noise and
    its correlation included, so the net cannot tell hidden places from others and learns to rely on neither.

    Parameters
    ----------
    images
        Batch (N, C, Y, X) or (N, C, Z, Y, X).
    pattern
        True at the pixels to hide around a pixel in its plane, (odd, odd), bool, on the CPU.
    margin
        Pixels on each side of a drawn one that are judged with it, and whose neighbourhoods are hidden as well.
    generator
        Source of randomness, on the CPU.

    Returns
    -------
    hidden : Tensor
        The batch with replaced pixels.
    mask : Tensor
        True at the drawn pixels and their margin, which no pixel left in sight shares noise with.
    """
    height, width = images.shape[-2:]
    reach = (pattern.shape[0] // 2, pattern.shape[1] // 2)
    cell = [min(size, math.ceil(1.4 * (2 * (r + margin) + 1))) for size, r in zip((height, width), reach, strict=True)]
    planes = images.reshape(-1, 1, height, width)
    mask = _one_per_cell(planes.shape[0], (height, width), cell, generator)
    spots = functional.max_pool2d(mask, 2 * margin + 1, stride=1, padding=margin)
    with torch.autocast("cpu", enabled=False):
        around = functional.conv2d(spots, pattern.flip(0, 1)[None, None].float(), padding=reach)
    moved = _moved(planes, [r + margin for r in reach], generator)
    hidden = torch.where((around > 0.5).to(images.device), moved, planes)
    return hidden.reshape(images.shape), (spots > 0.5).to(images.device).reshape(images.shape)


def _one_per_cell(count: int, sizes: tuple[int, int], cell: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw one pixel in every cell of a grid that is itself shifted at random: 1 there, float, (count, 1, Y, X)."""
    counts = [math.ceil(size / step) + 1 for size, step in zip(sizes, cell, strict=True)]
    shape = (count, counts[0] * counts[1])
    mask = torch.zeros(count, *sizes)
    index = torch.arange(counts[0] * counts[1])
    corners = (index // counts[1] * cell[0], index % counts[1] * cell[1])
    places = []
    for corner, step in zip(corners, cell, strict=True):
        shift = torch.randint(step, (count, 1), generator=generator)
        places.append(corner - shift + torch.randint(step, shape, generator=generator))
    inside = (places[0] >= 0) & (places[0] < sizes[0]) & (places[1] >= 0) & (places[1] < sizes[1])
    which = torch.arange(count)[:, None].expand(shape)
    mask[which[inside], places[0][inside], places[1][inside]] = 1
    return mask[:, None]


def _moved(planes: Tensor, reach: Sequence[int], generator: torch.Generator) -> Tensor:
    """Move each plane by a random step that leads out of the neighbourhood, but not far."""
    moved = []
    for plane in planes:
        long = [r + 1 + int(torch.randint(r + 2, (1,), generator=generator)) for r in reach]
        side = [int(torch.randint(-2 * r - 2, 2 * r + 3, (1,), generator=generator)) for r in reach]
        axis = int(torch.randint(2, (1,), generator=generator)) if reach[0] and reach[1] else int(reach[1] == 0)
        sign = 1 - 2 * int(torch.randint(2, (1,), generator=generator))
        step = (sign * long[0], side[1]) if axis == 0 else (side[0], sign * long[1])
        moved.append(torch.roll(plane, step, dims=(-2, -1)))
    return torch.stack(moved)
