"""How the noise of neighbouring pixels is correlated, measured on one picture with structure in it.

Blind-spot training takes what a pixel shares with its neighbours for signal, so it fails silently where cameras,
interpolation or rescaling have spread the noise. The autocorrelation of the picture itself does not tell: structure is
correlated, too. Here the picture is cut into small blocks, each freed of its plane and tapered, and their power spectra
are divided by their own power at high frequencies, where optics leave noise only. At every frequency the lowest tenth
of the blocks, the flattest ones, give the spectrum of the noise; structure raises it only where it fills nine blocks
out of ten. The transfer of plane removal and taper is known and divided out, so white noise gives a flat spectrum.

References
----------
Welch 1967, "The use of fast Fourier transform for the estimation of power spectra", IEEE Transactions on Audio and
Electroacoustics 15, 70 (averaged spectra of overlapping, tapered blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

BLOCK = 16
"""Size of the blocks [px]: small ones find flat places between structures."""
QUANTILE = 0.1
"""Share of the blocks whose spectrum is below the one that is taken."""
LAGS = 6
"""Correlations are measured up to this distance along each axis [px]."""
SIGNIFICANT = 0.3
"""Correlation between direct neighbours that is more than dense structure under white noise makes believe."""
_BLOCKS_MAX = 4096
_BLOCKS_MIN = 16
_CLIPPED = 0.2  # share of pixels at the end of the range, above which a block says little about its noise


@dataclass(frozen=True)
class NoiseCorrelation:
    """Autocorrelation of the noise.

    Parameters
    ----------
    values
        Correlation of pixels `dy`, `dx` apart at ``values[lags + dy, lags + dx]``, 1 in the middle.
    blocks
        Number of blocks it was measured on.
    """

    values: NDArray[np.float64]
    blocks: int

    @property
    def lags(self) -> int:
        """Largest distance along each axis [px]."""
        return int(self.values.shape[0]) // 2

    @property
    def x(self) -> float:
        """Correlation of horizontal neighbours."""
        return float(self.values[self.lags, self.lags + 1])

    @property
    def y(self) -> float:
        """Correlation of vertical neighbours."""
        return float(self.values[self.lags + 1, self.lags])

    @property
    def significant(self) -> bool:
        """Whether direct neighbours share more noise than structure under white noise makes believe."""
        return max(self.x, self.y) >= SIGNIFICANT

    def advice(self, method: str) -> str | None:
        """Say in a sentence why blind-spot training will fail, and what to use; None where the noise is white enough.

        Parameters
        ----------
        method
            The method that is about to be trained.
        """
        if not self.significant:
            return None
        horizontal, vertical = self.x >= SIGNIFICANT, self.y >= SIGNIFICANT
        where = "horizontal and vertical" if horizontal and vertical else "horizontal" if horizontal else "vertical"
        return (
            f"the noise of {where} neighbours is correlated ({max(self.x, self.y):.2f} one pixel apart), and {method} "
            "will keep it as if it were signal; use struct_n2v, whose mask follows the correlation, or n2n with repeats"
        )


def noise_correlation(image: NDArray[Any], *, block: int = BLOCK, lags: int = LAGS) -> NoiseCorrelation:
    """Measure the autocorrelation of the noise in one picture.

    Parameters
    ----------
    image
        Plane (Y, X), any unit.
    block
        Size of the blocks [px].
    lags
        Largest distance [px], below half a block.

    Returns
    -------
    NoiseCorrelation

    Raises
    ------
    InputError
        When the image is no plane, smaller than two blocks, not finite, or without noise.
    """
    plane = np.asarray(image)
    if plane.ndim != 2 or min(plane.shape) < 2 * block:
        raise InputError(f"a noise correlation needs a plane of {2 * block} x {2 * block} px; got shape {plane.shape}")
    if not np.isfinite(plane).all():
        raise InputError("the picture has pixels that are not finite; fill them before measuring its noise")
    cut = _cut(plane, block)
    negligible = 1e-12 * float(np.mean(cut**2)) if cut.size else 0.0  # what rounding leaves of a flat block
    taper, planes, variance = _transfer(block)
    cut = (cut - (cut @ planes.T) @ planes).reshape(-1, block, block)
    power = np.abs(np.fft.fft2(cut * taper)) ** 2 / variance
    frequency = np.minimum(np.arange(block), block - np.arange(block))
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    high = power[:, (fy >= block // 4) & (fx >= block // 4)].mean(axis=1)
    noisy = high > negligible
    if int(noisy.sum()) < _BLOCKS_MIN:
        raise InputError(
            f"only {int(noisy.sum())} of {len(cut)} blocks hold noise that is not clipped; the correlation of the "
            f"noise needs {_BLOCKS_MIN}: give a larger picture, or one with less saturation"
        )
    spectrum = np.quantile(power[noisy] / high[noisy, None, None], QUANTILE, axis=0)
    # the plane that was removed and the structure that is everywhere have left nothing to see below two cycles
    spectrum[(fy <= 1) & (fx <= 1)] = spectrum[np.maximum(fy, fx) == 2].mean()
    return NoiseCorrelation(_correlation(spectrum, taper, lags), int(noisy.sum()))


def _cut(plane: NDArray[Any], block: int) -> NDArray[np.float64]:
    """Cut half-overlapping blocks (n, block * block), evenly spread where they are too many, without clipped ones."""
    windows = np.lib.stride_tricks.sliding_window_view(plane, (block, block))[:: block // 2, :: block // 2]
    rows, columns = windows.shape[:2]
    chosen = np.unique(np.linspace(0, rows * columns - 1, min(rows * columns, _BLOCKS_MAX)).astype(int))
    blocks = windows[chosen // columns, chosen % columns].reshape(len(chosen), -1)
    low, high = plane.min(), plane.max()
    clipped = ((blocks == low) | (blocks == high)).mean(axis=1) > _CLIPPED
    kept: NDArray[np.float64] = blocks[~clipped].astype(np.float64)
    return kept


def _transfer(block: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the taper, the planes that are removed (3, block * block), and the power of white noise after both."""
    taper = np.outer(np.hanning(block + 2)[1:-1], np.hanning(block + 2)[1:-1])
    ramp = np.tile(np.arange(block) - (block - 1) / 2, (block, 1))
    planes = np.stack([part.ravel() / np.linalg.norm(part) for part in (np.ones_like(ramp), ramp, ramp.T)])
    removed = sum(np.abs(np.fft.fft2(taper * part.reshape(block, block))) ** 2 for part in planes)
    return taper, planes, (taper**2).sum() - removed


def _correlation(spectrum: NDArray[np.float64], taper: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Transform a power spectrum to correlations, without what the taper took from distant pairs."""
    size = len(taper)
    padded = np.zeros((2 * size, 2 * size))
    padded[:size, :size] = taper
    overlap = np.fft.ifft2(np.abs(np.fft.fft2(padded)) ** 2).real
    near = np.arange(-lags, lags + 1)
    pairs = np.ix_(near, near)
    covariance = np.fft.ifft2(spectrum).real[pairs] / overlap[pairs]
    values: NDArray[np.float64] = covariance / covariance[lags, lags]
    return values
