"""How ImageJ turns single precision back into the pixel type of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_type(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values in a pixel type as ``ImageProcessor.setPixels`` does: half up, cut off at the type's ends.

    Parameters
    ----------
    values
        Single precision, any shape.
    dtype
        uint8, uint16, or float32, for which the values themselves come back.
    """
    if dtype.kind == "f":
        return values
    rounded = values + np.float32(0.5)
    np.clip(rounded, 0, np.iinfo(dtype).max, out=rounded)
    return rounded.astype(dtype)
