"""Which singular values of a noisy matrix are noise, and how far the others must shrink.

All functions work on the eigenvalues of ``X X^T / N`` of matrices X with M rows and N columns, M <= N, whose entries
have independent noise of variance s^2. For noise alone they follow the law of Marchenko and Pastur: they lie between
``s^2 (1 - sqrt(b))^2`` and ``s^2 (1 + sqrt(b))^2``, with b = M / N.

References
----------
Veraart, Novikov, Christiaens, Ades-aron, Sijbers & Fieremans 2016, "Denoising of diffusion MRI using random matrix
theory", NeuroImage 142, 394-406 (MP-PCA: the number of noise eigenvalues and their variance).
Cordero-Grande, Christiaens, Hutter, Price & Hajnal 2019, "Complex diffusion-weighted image estimation via matrix
recovery under general noise models", NeuroImage 200, 391-404 (the ratio left when signal components are taken out).
Gavish & Donoho 2017, "Optimal shrinkage of singular values", IEEE Transactions on Information Theory 63, 2137-2152.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def noise_of_spectrum(eigenvalues: Floats, columns: int) -> tuple[Floats, NDArray[Any]]:
    """Estimate the noise from the spectrum alone.

    The largest number of smallest eigenvalues is taken whose spread is not wider than that of noise with their mean.

    Parameters
    ----------
    eigenvalues
        (..., M), ascending.
    columns
        N, at least M.

    Returns
    -------
    variance : ndarray of float64, shape (...)
        Of the noise, per entry.
    count : ndarray of int, shape (...)
        How many of the eigenvalues are noise, at least 1.
    """
    rows = eigenvalues.shape[-1]
    number = np.arange(1, rows + 1)
    means = np.cumsum(eigenvalues, axis=-1) / number
    spread = (eigenvalues - eigenvalues[..., :1]) / (4.0 * np.sqrt(number / (columns - rows + number)))
    count = rows - np.argmax((spread <= means)[..., ::-1], axis=-1)
    return np.take_along_axis(means, count[..., None] - 1, axis=-1)[..., 0], count


def spectrum_weights(eigenvalues: Floats, columns: int, variance: Floats, shrinkage: str) -> Floats:
    """Return by how much each component is multiplied.

    Parameters
    ----------
    eigenvalues
        (..., M), ascending, not negative but for rounding.
    columns
        N, at least M.
    variance
        (...), of the noise, per entry.
    shrinkage
        ``"hard"``: 1 above the edge of the noise, else 0; ``"optimal"``: the weight with the least mean squared error,
        0 at the edge and near 1 far above it.
    """
    ratio = eigenvalues.shape[-1] / columns
    noise = np.asarray(variance)[..., None]
    above = eigenvalues > noise * (1.0 + np.sqrt(ratio)) ** 2
    if shrinkage == "hard":
        return np.asarray(above, dtype=np.float64)
    squared = (eigenvalues - noise * (1.0 + ratio)) ** 2 - 4.0 * ratio * noise**2
    return np.asarray(np.where(above, np.sqrt(np.maximum(squared, 0.0)) / np.where(above, eigenvalues, 1.0), 0.0))


def spectrum_tells(frames: int, pixels: int) -> bool:
    """Return whether `noise_of_spectrum` can tell one signal from noise, in centred matrices of this size."""
    rows, columns = sorted((frames - 1, pixels))
    # One eigenvalue L alone has the spread L / (4 sqrt(rows / columns)) and the mean L / rows.
    return rows >= 3 and rows * columns > 16


def filter_matrices(matrices: Floats, noise_variance: float | None, shrinkage: str) -> Floats:
    """Replace each matrix by its mean over frames and the low-rank part of the rest.

    Parameters
    ----------
    matrices
        (B, frames, pixels), at least two frames.
    noise_variance
        Of the noise per entry, the same for all; each matrix's own spectrum tells it where it is None.
    shrinkage
        As in `spectrum_weights`.
    """
    frames, pixels = matrices.shape[1:]
    mean = matrices.mean(axis=1, keepdims=True)
    # Not the eigenvalues of the smaller products: OpenBLAS shares those out among threads that wait for each other, and
    # singular values only where the smaller side is above 32 (measured on two busy processors: 30 times the seconds).
    left, singular, right = np.linalg.svd(matrices - mean, full_matrices=False)
    # Centring takes one degree of freedom along time: one singular value is 0, or there is one column less.
    columns, used = (pixels, frames - 1) if frames <= pixels else (frames - 1, pixels)
    values = singular[:, :used][:, ::-1] ** 2 / columns
    kept = singular[:, :used] * component_weights(values, columns, noise_variance, shrinkage)[:, ::-1]
    return np.asarray(mean + (left[:, :, :used] * kept[:, None, :]) @ right[:, :used])


def component_weights(eigenvalues: Floats, columns: int, noise_variance: float | None, shrinkage: str) -> Floats:
    """Return the weights of the components as `spectrum_weights`, with the noise from the spectrum where it is None."""
    if noise_variance is not None:
        return spectrum_weights(eigenvalues, columns, np.full(eigenvalues.shape[:-1], noise_variance), shrinkage)
    variance, count = noise_of_spectrum(eigenvalues, columns)
    if shrinkage == "hard":
        return (np.arange(eigenvalues.shape[-1]) >= count[..., None]).astype(np.float64)
    return spectrum_weights(eigenvalues, columns, variance, shrinkage)
