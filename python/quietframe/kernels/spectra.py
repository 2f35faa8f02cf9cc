"""Linear filters with even edges in the domain of the cosine transform, where they are one multiplication.

The image is continued beyond its edges by its mirror image (d c b a | a b c d | d c b a). Every symmetric convolution
of that is diagonal in the type-II cosine transform, at the angular frequencies pi k / N [rad/px] of an axis of N
pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bands import threads_here


def even_frequencies(shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Return the angular frequencies of each axis [rad/px], shaped to broadcast against one another."""
    axes = [np.pi * np.arange(length) / length for length in shape]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def gaussian_transfer(shape: tuple[int, ...], sigma: float) -> NDArray[np.float64]:
    """Return the transfer function ``exp(-(sigma w)^2 / 2)`` of a Gaussian blur of standard deviation `sigma` [px]."""
    result = np.ones((1,) * len(shape))
    for frequency in even_frequencies(shape):
        result = result * np.exp(-0.5 * (sigma * frequency) ** 2)
    return result


def laplacian_transfer(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return ``sum over axes of 2 - 2 cos w``, the eigenvalues of the negative Laplacian, the squared gradient."""
    result = np.zeros((1,) * len(shape))
    for frequency in even_frequencies(shape):
        result = result + (2.0 - 2.0 * np.cos(frequency))
    return result


def filter_even(image: NDArray[Any], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply the cosine transform of an image by a gain.

    Parameters
    ----------
    image
        Any number of axes, real.
    gain
        Same shape: the gain at each frequency of `even_frequencies`.
    """
    from scipy import fft

    spectrum = fft.dctn(image.astype(np.float64), norm="ortho", workers=threads_here(), overwrite_x=True)
    spectrum *= gain
    return np.asarray(fft.idctn(spectrum, norm="ortho", workers=threads_here(), overwrite_x=True))
