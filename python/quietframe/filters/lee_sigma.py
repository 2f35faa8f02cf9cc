"""Average the neighbours that differ from the pixel by no more than two sigma of the noise: Lee's sigma filter.

Use it when edges must stay where they are and noise is moderate and additive; lonely outliers are replaced by their
neighbours, but a noisy centre picks noisy neighbours, so at strong noise other filters keep more.

For each pixel, those of the square window count whose value differs from its own by at most --range times the noise;
the result is their mean. Where fewer than --enough of them are found, the centre included, the pixel is taken for a
spot of noise and becomes the mean of its four nearest neighbours. Pixels beyond the edges do not count. Sums in double
precision.

References
----------
Lee 1983, "Digital image smoothing and the sigma filter", Computer Vision, Graphics, and Image Processing 24, 255-269.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.bands import over_bands
from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_noise_sigma, require_number, require_odd, require_whole
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
GRID = {"size": (3, 5, 7, 9), "range": (2.0, 3.0)}


@dataclass(frozen=True)
class Settings:
    """Settings of the sigma filter.

    Parameters
    ----------
    size
        Width of the square window, odd [px].
    range
        How far a neighbour may differ from the centre, in units of the noise.
    enough
        Neighbours, the centre included, below which the pixel counts as a spot of noise; 1 keeps every spot.
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    """

    size: int = 7
    range: float = 2.0
    enough: int = 4
    noise_sigma: float | None = None

    def __post_init__(self) -> None:
        require_odd("size", self.size, 3, 1001)
        require_number("range", self.range, 0.0, 1e6)
        require_whole("enough", self.enough, 1, self.size**2)
        require_noise_sigma(self.noise_sigma)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far the window reaches along Y and X [px]."""
    return (settings.size // 2, settings.size // 2)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane.

    Parameters
    ----------
    image
        (Y, X).
    settings
        The window, the range and the noise.

    Returns
    -------
    ndarray of float32, shape (Y, X)
    """
    from ..kernels.sigma_window import sigma_rows

    plane = np.ascontiguousarray(require_pixels(image, AXES), dtype=np.float32)
    bound = settings.range * noise_sigma_or_estimate(settings.noise_sigma, plane)
    half = settings.size // 2
    out = np.empty_like(plane)
    over_bands(lambda start, stop: sigma_rows(plane, half, bound, settings.enough, out, start, stop), len(out))
    return out
