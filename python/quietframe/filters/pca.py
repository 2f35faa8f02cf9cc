"""Keep the temporal patterns that stand out of the noise of a whole stack: principal component analysis over time.

Use it when few patterns explain how a stack changes (bleaching, drift of brightness, calcium signals, a ramp of reads);
what happens in a few pixels only is lost, and moving objects need many components. For those see local-pca.

Each frame is an observation, each pixel a variable, and the mean over time of each pixel is taken out and put back.
With --components 0 the components are those above the edge of Marchenko and Pastur's law for noise; the variance of
the noise is --noise-sigma squared, or else found from the spectrum itself (Veraart et al.; for fewer than four frames
from the finest wavelet coefficients), and with --shrinkage optimal they are multiplied by the weight of least mean
squared error. A given number of components is kept as they are. The stack is read by pieces, in double precision. A
single frame comes back as it is.

References
----------
Veraart et al. 2016, "Denoising of diffusion MRI using random matrix theory", NeuroImage 142, 394-406.
Gavish & Donoho 2017, "Optimal shrinkage of singular values", IEEE Transactions on Information Theory 63, 2137-2152.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels.low_rank import component_weights, spectrum_tells
from ..kernels.noise_sigma import estimate_noise_sigma
from ..kernels.options import require_noise_sigma, require_one_of, require_whole
from ..kernels.pixels import require_pixels

AXES = "TYX"
NOISE = "gaussian"
GRID = {"components": (0, 1, 2, 3, 5, 8)}
PIECE = 4_000_000  # values in double precision at a time: 32 MB


@dataclass(frozen=True)
class Settings:
    """Settings of the principal component analysis.

    Parameters
    ----------
    components
        How many components are kept beside the mean; 0 keeps those that stand out of the noise.
    shrinkage
        With 0 components: optimal reduces those near the noise, hard keeps them as they are.
    noise_sigma
        Standard deviation of the noise in the unit of the stack; found from the stack when not given.
    """

    components: int = 0
    shrinkage: Literal["optimal", "hard"] = "optimal"
    noise_sigma: float | None = None

    def __post_init__(self) -> None:
        require_whole("components", self.components, 0, 1_000_000)
        require_one_of("shrinkage", self.shrinkage, ("optimal", "hard"))
        require_noise_sigma(self.noise_sigma)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return None: components are found from the whole stack."""
    return None


def _weights(values: NDArray[np.float64], columns: int, stack: NDArray[Any], settings: Settings) -> NDArray[np.float64]:
    if settings.components:
        return (np.arange(len(values)) >= len(values) - settings.components).astype(np.float64)
    sigma = settings.noise_sigma
    if sigma is None and not spectrum_tells(len(stack), stack[0].size):
        sigma = estimate_noise_sigma(stack)
    return component_weights(values, columns, None if sigma is None else sigma**2, settings.shrinkage)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one stack.

    Parameters
    ----------
    image
        (T, Y, X).
    settings
        Components and noise.

    Returns
    -------
    ndarray of float32, shape (T, Y, X)
    """
    stack = require_pixels(image, AXES)
    frames, size = len(stack), stack[0].size
    if frames == 1:
        return stack.astype(np.float32)
    flat = stack.reshape(frames, size)
    mean = flat.mean(axis=0, dtype=np.float64)
    # The shorter side makes the matrix of covariances; centring takes one degree of freedom along time.
    wide = flat if frames <= size else flat.T
    rows = len(wide)

    def pieces() -> Iterator[tuple[slice, NDArray[np.float64]]]:
        step = max(1, PIECE // rows)
        for start in range(0, wide.shape[1], step):
            piece = slice(start, start + step)
            yield piece, wide[:, piece] - (mean[piece] if frames <= size else mean[:, None])

    columns = size if frames <= size else frames - 1
    gram = np.zeros((rows, rows))
    for _, piece in pieces():
        gram += piece @ piece.T
    values, vectors = np.linalg.eigh(gram / columns)
    drop = 1 if frames <= size else 0
    weights = np.zeros(rows)
    weights[drop:] = _weights(np.maximum(values[drop:], 0.0), columns, stack, settings)
    out = np.empty(wide.shape, dtype=np.float32)
    kept = weights > 0
    for part, piece in pieces():
        low = (vectors[:, kept] * weights[kept]) @ (vectors[:, kept].T @ piece)
        out[:, part] = low + (mean[part] if frames <= size else mean[:, None])
    return np.ascontiguousarray(out if frames <= size else out.T).reshape(stack.shape)
