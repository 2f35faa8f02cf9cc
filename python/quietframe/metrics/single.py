"""What one image says about itself: report SNR from two regions, PSNR' from the darkest region.

Both are numbers for continuity with published reports, not evidence of restoration: blurring an image or clipping it
at the background raises both while the image gets worse. Where a truth exists use `quietframe.metrics.reference`,
where a second exposure exists `quietframe.metrics.repeats`.

All standard deviations are sample standard deviations (n - 1), computed in float64, as ImageJ's *Measure* shows them.
Pixels that are used must be finite: one NaN or infinity among them is refused, never skipped.

References
----------
Hume, Restoration of NDR microscopy images (2020): SNR = mean(bright ROI) / std(dark ROI), PSNR' = max / std(darkest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError

LARGEST = 1e150
"""Largest magnitude of a pixel; the square of a larger one is no float64."""

BLOCK = 17
"""Side of the automatic dark and bright squares [px]."""


@dataclass(frozen=True)
class Block:
    """A rectangle of whole pixels, corner (x, y) counted from 0 as in ImageJ.

    Parameters
    ----------
    x, y
        Column and row of its first pixel.
    width, height
        Its size [px].
    """

    x: int
    y: int
    width: int
    height: int

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the boolean mask (Y, X) of the pixels inside, for an image of `shape`.

        Raises
        ------
        InputError
            When the rectangle is empty or does not lie inside the image.
        """
        inside = self.x >= 0 and self.y >= 0 and self.x + self.width <= shape[-1] and self.y + self.height <= shape[-2]
        if self.width < 1 or self.height < 1 or not inside:
            raise InputError(
                f"the rectangle {self} (x,y,width,height) is not inside an image of {shape[-1]} x {shape[-2]} pixels"
            )
        mask = np.zeros((shape[-2], shape[-1]), dtype=bool)
        mask[self.y : self.y + self.height, self.x : self.x + self.width] = True
        return mask

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"


@dataclass(frozen=True)
class Region:
    """Statistics of the pixels of one region, in the image's unit; `std` is the sample standard deviation."""

    mean: float
    std: float
    minimum: float
    maximum: float
    n_pixels: int


def region_statistics(image: NDArray[Any], mask: NDArray[np.bool_], *, name: str = "region") -> Region:
    """Return mean, sample standard deviation (n - 1), minimum, maximum and size of a region.

    Parameters
    ----------
    image
        Real image, shape (Y, X), any unit.
    mask
        True inside the region, same shape.
    name
        What the region is called in an error message.

    Raises
    ------
    InputError
        When the image is not (Y, X), the mask has another shape, the region has fewer than 2 pixels, or one of its
        pixels is not finite.
    """
    pixels = _plane(image)
    inside = np.asarray(mask, dtype=bool)
    if inside.shape != pixels.shape:
        raise InputError(f"the {name} has shape {inside.shape}, the image {pixels.shape}; they must be equal")
    values = pixels[inside].astype(np.float64)
    if values.size < 2:
        raise InputError(
            f"the {name} has {values.size} pixel{'' if values.size == 1 else 's'}; "
            "a standard deviation needs at least 2: draw a larger region"
        )
    _require_finite(values, name)
    return Region(
        mean=float(values.mean()),
        std=float(values.std(ddof=1)),
        minimum=float(values.min()),
        maximum=float(values.max()),
        n_pixels=int(values.size),
    )


def report_snr(
    image: NDArray[Any],
    bright_mask: NDArray[np.bool_],
    dark_mask: NDArray[np.bool_],
    *,
    subtract_background: bool = False,
) -> float:
    """Return the report's SNR, mean(bright region) / std(dark region), without unit.

    Parameters
    ----------
    image
        Real image, shape (Y, X), any unit.
    bright_mask, dark_mask
        True inside the two regions, same shape.
    subtract_background
        Use mean(bright) - mean(dark) above the line, which an offset of the camera does not change.

    Raises
    ------
    InputError
        As `region_statistics`, and when the dark region is constant (std 0).
    """
    bright = region_statistics(image, bright_mask, name="bright region")
    dark = region_statistics(image, dark_mask, name="dark region")
    signal = bright.mean - dark.mean if subtract_background else bright.mean
    return signal / _noise(dark)


def psnr_prime(image: NDArray[Any], dark_mask: NDArray[np.bool_] | None = None, *, size: int = BLOCK) -> float:
    """Return PSNR' = max(image) / std(dark region), without unit (not decibels).

    Parameters
    ----------
    image
        Real image, shape (Y, X), any unit.
    dark_mask
        True inside the dark region; None takes `darkest_block` of `size`.
    size
        Side of the automatic dark square [px].

    Raises
    ------
    InputError
        When a pixel of the image is not finite, the dark region is constant (std 0) or has fewer than 2 pixels.
    """
    pixels = _plane(image)
    _require_finite(pixels, "image")
    mask = darkest_block(pixels, size).mask(pixels.shape) if dark_mask is None else dark_mask
    dark = region_statistics(pixels, mask, name="dark region")
    return float(pixels.max()) / _noise(dark)


def darkest_block(image: NDArray[Any], size: int = BLOCK) -> Block:
    """Return the square with the lowest mean; of equal ones the first, row by row.

    Parameters
    ----------
    image
        Real, finite image, shape (Y, X).
    size
        Side of the square [px], at least 2.

    Raises
    ------
    InputError
        When the square does not fit into the image or a pixel is not finite.
    OptionError
        When `size` is below 2.
    """
    return _extreme_block(image, size, brightest=False)


def brightest_block(image: NDArray[Any], size: int = BLOCK) -> Block:
    """Return the square with the highest mean; of equal ones the first, row by row.

    Parameters and errors as `darkest_block`.
    """
    return _extreme_block(image, size, brightest=True)


def _extreme_block(image: NDArray[Any], size: int, *, brightest: bool) -> Block:
    pixels = _plane(image)
    if size < 2:
        raise OptionError(f"the block size must be at least 2 pixels; got {size}")
    if min(pixels.shape) < size:
        raise InputError(
            f"a block of {size} x {size} pixels does not fit into an image of {pixels.shape[1]} x {pixels.shape[0]} "
            "pixels; draw the regions yourself"
        )
    _require_finite(pixels, "image")
    # Summed-area table: exact for integer images, and four look-ups per box whatever its size.
    table = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1))
    np.cumsum(np.cumsum(pixels, axis=0, dtype=np.float64), axis=1, out=table[1:, 1:])
    sums = table[size:, size:] - table[:-size, size:] - table[size:, :-size] + table[:-size, :-size]
    index = int(sums.argmax() if brightest else sums.argmin())
    y, x = divmod(index, sums.shape[1])
    return Block(x, y, size, size)


def _plane(image: NDArray[Any]) -> NDArray[Any]:
    pixels = np.asarray(image)
    if pixels.ndim != 2 or pixels.size == 0:
        raise InputError(f"one gray plane (Y, X) is needed here; got an array of shape {pixels.shape}")
    if pixels.dtype.kind not in "buif":
        raise InputError(f"real pixel values are needed here; got {pixels.dtype}")
    return pixels


def _require_finite(values: NDArray[Any], name: str) -> None:
    wrong = int(values.size - np.count_nonzero(np.isfinite(values)))
    if wrong:
        raise InputError(
            f"{wrong} of {values.size} pixels of the {name} are NaN or infinite; choose a region without them"
        )
    if values.dtype.kind == "f" and values.size and max(-float(values.min()), float(values.max())) > LARGEST:
        raise InputError(f"the {name} holds pixels beyond {LARGEST:g}, whose squares overflow; scale the image down")


def _noise(dark: Region) -> float:
    # The sum of equal pixels is rounded, so their standard deviation need not come out as 0.
    if dark.std == 0 or dark.minimum == dark.maximum:
        raise InputError(
            f"the dark region is constant (all {dark.n_pixels} pixels are {dark.mean:g}, std 0), so it shows no noise; "
            "choose another region (clipped or saturated?)"
        )
    return dark.std
