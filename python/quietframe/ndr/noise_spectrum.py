"""Shot noise and read noise told apart by their spectra along the ramp.

The differences d_i of one ramp (n = N - 1 of them) have the covariance ``f I + s^2 tridiag(-1, 2, -1)``. The mean power
of their cosine transform (DCT-II, orthonormal) at the frequencies k = 1 ... n - 1 is therefore, exactly,

``S_k = f + s^2 q_k`` with ``q_k = 4 sin^2(pi k / 2n) + (4 / n) cos^2(pi k / 2n)``

(the second term is what the ends of the ramp add). Shot noise is white, read noise rises with the frequency. A pixel's
own signal is in k = 0 alone, so structure, offset and reset noise do no harm. What all pixels share, light that fades
or flickers, drift, and the curve of a non-linear camera, is taken off first, as a parabola in the signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

CHUNK = 2048
"""Pixels whose ramps are transformed at a time; bounds the memory."""


def read_noise_power(n: int) -> Floats:
    """Return q_k of the module's formula for k = 1 ... n - 1: mean power per unit of squared read noise."""
    angle = np.pi * np.arange(1, n) / (2 * n)
    return np.asarray(4.0 * np.sin(angle) ** 2 + 4.0 / n * np.cos(angle) ** 2)


@dataclass(frozen=True)
class Common:
    """What all ramps share: difference i is ``coefficients[i] @ (1, m, m^2)`` for a pixel that collects m.

    Parameters
    ----------
    coefficients
        Shape (n, 3).
    scale
        What m is divided by, so that the powers stay near 1: the largest m.
    inverse
        Inverse of the sums of products of the powers, shape (3, 3).
    """

    coefficients: Floats32
    scale: float
    inverse: Floats

    @classmethod
    def of(cls, ramps: NDArray[Any], light: Floats) -> Common:
        """Fit the parabolas by least squares over all pixels.

        Parameters
        ----------
        ramps
            Reads, shape (N, P).
        light
            What each pixel collects between two reads, free of its own noise as far as possible, shape (P,): noise in
            it would be taken for signal, and taken off.
        """
        n = len(ramps) - 1
        scale = float(np.abs(light).max()) or 1.0
        moments, products = np.zeros((3, 3)), np.zeros((n, 3))
        for start in range(0, light.size, CHUNK):
            part = slice(start, start + CHUNK)
            basis = _basis(light[part], scale)
            moments += basis @ basis.T
            products += differences(ramps[:, part]).astype(np.float64) @ basis.T
        inverse = np.asarray(np.linalg.pinv(moments), np.float64)
        return cls((products @ inverse).astype(np.float32), scale, inverse)

    def at(self, light: Floats) -> Floats32:
        """Return the shared part of the differences, shape (n, P); beyond the largest m what it is there."""
        level = np.minimum(light, self.scale)
        return np.asarray(self.coefficients @ _basis(level, self.scale).astype(np.float32))

    def leverage(self, light: Floats) -> Floats:
        """Return the part of its own noise that each pixel of the fit takes off itself, shape (P,).

        The parts sum up to 3, most of it in the few brightest pixels: one hot pixel can bend the parabola to itself.
        """
        basis = _basis(np.minimum(light, self.scale), self.scale)
        return np.asarray(np.clip(np.einsum("ip,ij,jp->p", basis, self.inverse, basis), 0.0, 1.0))


def _basis(light: Floats, scale: float) -> Floats:
    level = light / scale
    return np.stack([np.ones_like(level), level, level**2])


def differences(ramps: NDArray[Any]) -> NDArray[Any]:
    """Return adjacent differences of ramps (N, P), counted from the first read to keep float32 digits."""
    exact = np.float32 if ramps.dtype.itemsize <= 2 or ramps.dtype == np.float32 else np.float64
    values = ramps.astype(exact)
    return np.diff(values, axis=0)


def transform(steps: NDArray[Any], light: Floats, common: Common) -> Floats32:
    """Return the cosine transform of differences (n, P) without their shared part at k = 1 ... n - 1."""
    residual = steps - common.at(light)
    return np.asarray(fft.dct(residual.T, type=2, norm="ortho", axis=1).T[1:], np.float32)


def power(ramps: NDArray[Any], light: Floats, common: Common) -> Floats32:
    """Return the power at k = 1 ... n - 1 of each ramp, shape (n - 1, P), squared units of the reads.

    `common` must be the fit to these ramps: what it took off of their own noise is put back.
    """
    spectrum = np.empty((len(ramps) - 2, light.size), np.float32)
    for start in range(0, light.size, CHUNK):
        part = slice(start, start + CHUNK)
        spectrum[:, part] = np.square(transform(differences(ramps[:, part]), light[part], common))
        spectrum[:, part] /= np.maximum(1.0 - common.leverage(light[part]), 0.1).astype(np.float32)
    return spectrum


@dataclass(frozen=True)
class Separation:
    """Weights that turn a spectrum into shot noise and read noise, best for one mixture of the two.

    Parameters
    ----------
    shot, read
        ``shot @ S`` is the shot-noise variance of one difference, ``read @ S`` the squared read noise; shape (n - 1,).
    read_alone
        ``read_alone @ (S - shot noise)`` is the squared read noise where the shot noise is known.
    covariance
        Of shot noise and squared read noise for normal noise, shape (2, 2).
    read_alone_variance
        Variance of `read_alone` for normal noise.
    """

    shot: Floats
    read: Floats
    read_alone: Floats
    covariance: Floats
    read_alone_variance: float

    @classmethod
    def of(cls, n: int, shot: float, read: float) -> Separation:
        """Make the weights for `n` differences with this shot noise and squared read noise, least squares."""
        q = read_noise_power(n)
        expected = np.maximum(shot, 0.0) + max(read, 0.0) * q
        expected = np.maximum(expected, 1e-9 * expected.max() + 1e-30)
        trust = expected**-2 / (expected**-2).max()
        design = np.stack([np.ones_like(q), q])
        both = np.linalg.pinv((design * trust) @ design.T) @ (design * trust)
        alone = trust * q / np.sum(trust * q * q)
        covariance = 2.0 * (both * expected**2) @ both.T
        return cls(both[0], both[1], alone, covariance, float(2.0 * np.sum((alone * expected) ** 2)))


def separate(spectrum: Floats) -> tuple[float, float]:
    """Return shot noise and squared read noise of one mean spectrum, shape (n - 1,); both 0 or more."""
    n = len(spectrum) + 1
    shot, read = float(spectrum.mean()), 0.0
    for _ in range(4):
        weights = Separation.of(n, shot, read)
        shot, read = max(float(weights.shot @ spectrum), 0.0), max(float(weights.read @ spectrum), 0.0)
    return shot, read
