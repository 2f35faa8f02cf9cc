"""What a filter accepts: the three pixel types of ImageJ, finite values, the axes it works on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def as_pixels(image: NDArray[Any]) -> NDArray[Any]:
    """Return the image as uint8, uint16 or float32, the pixel types that ImageJ has.

    Parameters
    ----------
    image
        Any shape. uint8, uint16 and float32 stay as they are; bool becomes 0 and 255; all others become float32.

    Raises
    ------
    InputError
        For complex numbers and other types that are no numbers.
    """
    image = np.asarray(image)
    if image.dtype in (np.uint8, np.uint16, np.float32):
        return image
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype.kind not in "iuf":
        raise InputError(f"pixels of type {image.dtype} cannot be filtered; give integers or real numbers")
    return image.astype(np.float32)


def require_pixels(image: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return the pixels of a filter's input (`as_pixels`), or say what is wrong with it.

    Parameters
    ----------
    image
        One axis per letter of `axes`, none of them empty; finite.
    axes
        What the filter works on, e.g. ``"YX"``.

    Raises
    ------
    InputError
        For another number of axes, an empty image, NaN or infinity.
    """
    pixels = as_pixels(image)
    if pixels.ndim != len(axes):
        raise InputError(f"this filter works on {axes}; got {pixels.ndim} axes, shape {pixels.shape}")
    if pixels.size == 0:
        raise InputError(f"the image is empty: shape {pixels.shape}")
    # One sum finds every NaN and infinity; only where it cannot decide are the pixels looked at one by one.
    if pixels.dtype.kind == "f" and not math.isfinite(float(pixels.sum(dtype=np.float64))):
        bad = int(pixels.size - np.count_nonzero(np.isfinite(pixels)))
        if bad:
            raise InputError(
                f"{bad} of {pixels.size} pixels are NaN or infinite; filtering.filter_pixels, and the command line, "
                "keep them apart from the others"
            )
    return pixels
