"""Give photon noise one standard deviation everywhere: the generalised Anscombe transform and its unbiased inverse.

A pixel is ``x = black + slope * p + n``: p Poisson with mean y electrons (or whatever is counted), n normal with the
standard deviation of reading. With ``s`` = that read noise in electrons, the transform is

    f(x) = 2 sqrt(max(p' + 3/8 + s^2, 0)) - 2 s,     p' = (x - black) / slope,

whose standard deviation is close to 1 at every brightness above a few electrons. The constant ``2 s`` changes nothing
but the rounding: dark pixels stay near 0 and a camera without any photon noise gives ``p' / s``.

The square root of a mean is not the mean of square roots, so squaring is no inverse: it would be too dark by a quarter
of an electron, and by much more where electrons are few. The exact unbiased inverse maps the *mean* of the transformed
pixels back to y. That mean is summed here over all electron counts and integrated over the read noise, once per read
noise; y is then read off the table by linear interpolation. Where ``y + s^2`` exceeds 1000 the series of that mean is
exact to 1e-3 electrons and continues the table. Below the mean of an empty pixel, where no y exists, the inverse goes
on along its tangent: an estimate that scatters around black keeps its mean.

References
----------
Makitalo and Foi 2013, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", IEEE
Transactions on Image Processing 22, 91, doi 10.1109/TIP.2012.2202675.
Starck, Murtagh and Bijaoui 1998, "Image Processing and Data Analysis", Cambridge University Press (the transform).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

SERIES_FROM = 1000.0
"""Where ``y + s^2`` is above this, the mean of the transform is taken from its series."""
_KNOTS = 2400
_ENTRIES = 16384
_PIECE = 1 << 15
_REACH = 8.0  # standard deviations of the read noise that are integrated over
_STEPS = 640


@dataclass(frozen=True)
class Stabilisation:
    """The transform for one camera.

    Parameters
    ----------
    slope
        How the variance grows with the mean [ADU]: one over the gain in electrons per ADU. 0: no photon noise.
    read_noise_adu
        Standard deviation of a pixel without light [ADU].
    black_adu
        Value of a pixel without light [ADU].
    """

    slope: float
    read_noise_adu: float
    black_adu: float = 0.0

    def __post_init__(self) -> None:
        for name in ("slope", "read_noise_adu", "black_adu"):
            if not math.isfinite(getattr(self, name)):
                raise OptionError(f"{name} must be a finite number; got {getattr(self, name)}")
        if self.slope < 0 or self.read_noise_adu < 0 or self.slope == self.read_noise_adu == 0:
            raise OptionError(
                "a variance needs a slope and a read noise that are not negative, one of them above 0; got "
                f"slope {self.slope}, read noise {self.read_noise_adu}"
            )

    @property
    def _read_noise_e(self) -> float:
        return self.read_noise_adu / self.slope

    def forward(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Transform pixels so that their noise has the standard deviation 1.

        Parameters
        ----------
        image
            Pixels of any shape [ADU]. NaN stays NaN.

        Returns
        -------
        ndarray, float32
        """
        counts = np.subtract(image, self.black_adu, dtype=np.float64)
        if self.slope == 0:
            return np.asarray(counts / self.read_noise_adu, np.float32)
        noise = self._read_noise_e
        counts /= self.slope
        counts += 0.375
        np.maximum(counts, -(noise**2), out=counts)
        # 2 sqrt(t + s^2) - 2 s without the difference of two large numbers
        root = counts + noise**2
        np.sqrt(root, out=root)
        root += noise
        with np.errstate(invalid="ignore", divide="ignore"):
            counts /= root
        counts[root == 0] = 0.0
        return np.asarray(2.0 * counts, np.float32)

    def inverse(self, stabilised: NDArray[Any]) -> NDArray[np.float32]:
        """Return the mean [ADU] whose transformed pixels have the given means.

        Parameters
        ----------
        stabilised
            Denoised result of `forward`, any shape. NaN stays NaN.

        Returns
        -------
        ndarray, float32
        """
        values = np.asarray(stabilised)
        if self.slope == 0:
            return np.asarray(values * np.float64(self.read_noise_adu) + self.black_adu, np.float32)
        noise = self._read_noise_e
        table = _table(noise)
        result = np.empty(values.size, np.float32)
        flat = values.ravel()
        # In pieces that stay in the processor's cache.
        for start in range(0, values.size, _PIECE):
            means = _mean_electrons(flat[start : start + _PIECE].astype(np.float64), noise, table)
            result[start : start + _PIECE] = means * self.slope + self.black_adu
        return result.reshape(values.shape)


def mean_of_transform(electrons: NDArray[Any], read_noise_e: float) -> NDArray[np.float64]:
    """Return the mean of the transformed pixels at the given mean electrons: a sum and an integral, no series.

    Parameters
    ----------
    electrons
        Mean electrons, at least 0; shape (n,).
    read_noise_e
        Read noise [electrons].

    Returns
    -------
    ndarray, float64
        Shape (n,); without unit.
    """
    from scipy.special import gammaln, xlogy

    mean = np.asarray(electrons, dtype=np.float64)
    most = float(mean.max(initial=0.0))
    counts = np.arange(math.ceil(most + 10 * math.sqrt(most) + 20))
    chance = np.exp(xlogy(counts, mean[:, None]) - mean[:, None] - gammaln(counts + 1))
    result: NDArray[np.float64] = chance @ _mean_over_read_noise(counts, read_noise_e)
    return result


def _mean_over_read_noise(counts: NDArray[Any], noise: float) -> NDArray[np.float64]:
    """Integrate the transform of `counts` electrons over the read noise."""
    if noise == 0:
        values: NDArray[np.float64] = 2.0 * np.sqrt(counts + 0.375)
        return values
    nodes = np.linspace(-_REACH, _REACH, _STEPS + 1)
    weights = np.exp(-0.5 * nodes**2)
    squares = counts[:, None] + (0.375 + noise**2 + noise * nodes)
    values = 2.0 * np.sqrt(np.maximum(squares, 0.0)) @ (weights / weights.sum()) - 2.0 * noise
    return values


@dataclass(frozen=True)
class _Table:
    """Mean electrons at equal steps of the mean of the transform, from an empty pixel up to the series.

    Parameters
    ----------
    first, step
        The means of the transform.
    electrons
        Their mean electrons, with one entry more at the end.
    constant
        The constant of the series.
    tangent
        How electrons grow with the mean of the transform at an empty pixel.
    """

    first: float
    step: float
    electrons: NDArray[np.float64]
    constant: float
    tangent: float


@lru_cache(maxsize=64)
def _table(noise: float) -> _Table:
    end = SERIES_FROM - noise**2
    if end <= 1.0:
        # The series alone: D = 2 sqrt(y + s^2 + 1/8).
        root = math.sqrt(noise**2 + 0.125)
        return _Table(0.25 / (root + noise), 1.0, np.zeros(0), -0.125, root)
    means = np.linspace(0.0, math.sqrt(end), _KNOTS) ** 2
    knots = mean_of_transform(means, noise)
    constant = end - knots[-1] * (0.25 * knots[-1] + noise)
    even = np.linspace(knots[0], knots[-1], _ENTRIES)
    electrons = np.interp(even, knots, means)
    tangent = (means[1] - means[0]) / (knots[1] - knots[0])
    return _Table(float(knots[0]), float(even[1] - even[0]), np.append(electrons, end), float(constant), float(tangent))


def _mean_electrons(values: NDArray[np.float64], noise: float, table: _Table) -> NDArray[np.float64]:
    """Return the mean electrons whose transform has these means."""
    # The series: y = D^2 / 4 - s^2 + constant for D = value + 2 s.
    series = values * (0.25 * values + noise) + table.constant
    place = (values - table.first) / table.step
    last = len(table.electrons) - 2
    if last > 0:
        with np.errstate(invalid="ignore"):
            entry = np.clip(np.nan_to_num(place, nan=0.0), 0, last).astype(np.int32)
        left = table.electrons[entry]
        inside = left + (place - entry) * (table.electrons[entry + 1] - left)
        series = np.where(place < last, inside, series)
    result: NDArray[np.float64] = np.where(place < 0, (values - table.first) * table.tangent, series)
    return result
