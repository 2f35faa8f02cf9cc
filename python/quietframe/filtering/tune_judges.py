"""What tells the error of a filter without truth: Stein's formula, hidden pixels, or the other half of an exposure.

Each judge is made of the noisy plane and gives the mean squared error that a filter's result has against the unknown
truth; what it cannot know moves all filters alike.

*Stein.* The squared distance to the noisy plane is the error, less the variance of the noise, plus twice the covariance
of result and noise. That covariance is measured by adding a little more noise of the same kind and looking at what of
it comes through. The filter is judged as it will be used, and correlated noise is added as correlated noise; the
variance of the noise must be known.

*Hidden pixels* (J-invariance). Pixels on a grid are replaced by what is around them, and the filter's values there are
compared with what was measured. Nothing must be known of the noise but that it is independent from pixel to pixel, or
over what distance it is not: then that neighbourhood is hidden, too. What is judged is a filter that does not see a
pixel's own value, and such a one needs less smoothing than the filter that is used.

*Halves.* The result of each half of an exposure against the other half: right for any noise.

References
----------
Stein 1981, "Estimation of the mean of a multivariate normal distribution", Annals of Statistics 9, 1135.
Ramani, Blu and Unser 2008, "Monte-Carlo SURE: a black-box optimization of regularization parameters for general
denoising algorithms", IEEE Transactions on Image Processing 17, 1540.
Luisier, Blu and Unser 2011, "Image denoising in mixed Poisson-Gaussian noise", IEEE Transactions on Image Processing
20, 696 (the counterpart of Stein's formula for photons).
Batson and Royer 2019, "Noise2Self: blind denoising by self-supervision", ICML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..metrics.noise_correlation import NoiseCorrelation
from ..noise_models.poisson_gaussian import NoiseLine

Plane = NDArray[np.float64]
Denoise = Callable[[NDArray[np.float32]], NDArray[Any]]

STEP = 0.1
"""Share of the noise that is added to see what of it comes through."""
DRAWS = 2
"""Independent drawings of that noise."""
GRID_STEP = 4
"""Distance of hidden pixels where noise is independent [px]."""
_PHASES = 4
_FAINT = 0.05  # correlations below this are not told from chance


class Judge(Protocol):
    """Gives the error of a filter."""

    @property
    def input_error(self) -> float:
        """Mean squared error of the noisy plane itself; NaN where it is not known."""

    def error(self, denoise: Denoise) -> float:
        """Return the mean squared error of a filter, up to a constant that all share."""


class SteinJudge:
    """Judge by Stein's formula.

    Parameters
    ----------
    plane
        Noisy plane (Y, X), finite.
    line
        Variance of its noise against the mean, with the correlation of neighbours where that was measured.
    seed
        Of the noise that is added.
    """

    def __init__(self, plane: NDArray[Any], line: NoiseLine, seed: int = 0) -> None:
        from scipy.ndimage import gaussian_filter

        self._plane = np.asarray(plane, np.float64)
        correlation = line.correlation if line.correlation is not None and line.correlation.significant else None
        # The formula for photons takes the variance at the noisy value, and the filter's change over a whole photon.
        # With its derivative instead, that judges filters too kindly which move dark pixels more than bright ones, and
        # the variance at a local mean too harshly: half of each.
        local = line.variance(gaussian_filter(self._plane, 1.5 if correlation is None else 2.5))
        variance = (np.maximum(line.slope * self._plane + line.intercept, 0.0) + local) / 2
        rng = np.random.default_rng(seed)
        self._noises = [np.sqrt(variance) * unit_noise(plane.shape, correlation, rng) for _ in range(DRAWS)]
        self.input_error = float(variance.mean())

    def error(self, denoise: Denoise) -> float:
        """Return the mean squared error of a filter."""
        plane = self._plane
        result = np.asarray(denoise(plane.astype(np.float32)), np.float64)
        passed = []
        for noise in self._noises:
            moved = np.asarray(denoise((plane + STEP * noise).astype(np.float32)), np.float64)
            # Over the noise that was added, so that the luck of one drawing is not taken for the filter's doing.
            share = np.mean(noise * (moved - result)) / (STEP * np.mean(noise**2))
            passed.append(float(share) * self.input_error)
        return float(np.mean((result - plane) ** 2)) - self.input_error + 2.0 * float(np.mean(passed))


class HiddenJudge:
    """Judge by pixels that the filter does not see.

    Parameters
    ----------
    plane
        Noisy plane (Y, X), finite.
    radius
        Distance over which noise is correlated [px]: this neighbourhood of a judged pixel is hidden with it.
    variance
        Mean variance of the noise, taken off the error; 0 where it is not known.
    """

    def __init__(self, plane: NDArray[Any], radius: int = 0, variance: float = 0.0) -> None:
        self._plane = np.asarray(plane, np.float64)
        self._hidden = list(hidden_planes(self._plane, radius))
        self._variance = variance
        self.input_error = variance or float("nan")

    def error(self, denoise: Denoise) -> float:
        """Return the mean squared error at the hidden pixels."""
        total, count = 0.0, 0
        for filled, judged in self._hidden:
            result = np.asarray(denoise(filled.astype(np.float32)), np.float64)
            total += float(((result - self._plane)[judged] ** 2).sum())
            count += int(judged.sum())
        return total / count - self._variance


class HalvesJudge:
    """Judge by the other half of an exposure.

    Parameters
    ----------
    half, other
        Planes (Y, X) of one scene in one unit with independent, equally strong noise, finite.
    """

    def __init__(self, half: NDArray[Any], other: NDArray[Any]) -> None:
        self._half, self._other = np.asarray(half, np.float64), np.asarray(other, np.float64)
        self.input_error = float(np.mean((self._half - self._other) ** 2)) / 2

    def error(self, denoise: Denoise) -> float:
        """Return the mean squared error of a filtered half, the mean of both.

        Each against the other, so that what only one of them has, a particle's hit, counts once as noise of the judged
        half and once of the judge.
        """
        distances = [
            np.mean((np.asarray(denoise(judged.astype(np.float32)), np.float64) - judge) ** 2)
            for judged, judge in ((self._half, self._other), (self._other, self._half))
        ]
        return float(np.mean(distances)) - self.input_error


def unit_noise(shape: tuple[int, ...], correlation: NoiseCorrelation | None, rng: np.random.Generator) -> Plane:
    """Draw noise of variance 1, correlated between neighbours as measured.

    Parameters
    ----------
    shape
        (Y, X).
    correlation
        None for white noise.
    rng
        Random numbers.
    """
    white = rng.standard_normal(shape)
    if correlation is None:
        return white
    lags = correlation.lags
    near = np.arange(-lags, lags + 1)
    wanted = np.where(np.abs(correlation.values) > _FAINT, correlation.values, 0.0)
    around = np.zeros(shape)
    np.add.at(around, (near[:, None] % shape[0], near[None, :] % shape[1]), wanted)
    power = np.maximum(np.fft.fft2(around).real, 0.0)
    noise: Plane = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power / power.mean())).real
    return noise


def correlation_radius(correlation: NoiseCorrelation | None, most: int = 4) -> int:
    """Return the distance [px] up to which the noise of neighbours is correlated; 0 for white noise."""
    if correlation is None or not correlation.significant:
        return 0
    middle = correlation.lags
    along = np.maximum(correlation.values[middle, middle + 1 :], correlation.values[middle + 1 :, middle])
    far = np.flatnonzero(along > 2 * _FAINT)
    return int(min(most, far[-1] + 1)) if len(far) else 1


def hidden_planes(plane: Plane, radius: int) -> Iterator[tuple[Plane, NDArray[np.bool_]]]:
    """Give the plane with the neighbourhoods of some pixels replaced by what surrounds these, and where the pixels are.

    Parameters
    ----------
    plane
        (Y, X).
    radius
        Half the side of a neighbourhood [px]; 0 for the pixel alone.
    """
    from scipy.ndimage import convolve, distance_transform_edt

    away = np.abs(np.arange(-radius - 1, radius + 2))
    far = np.maximum(away[:, None], away[None, :])
    # Nearest pixels that are seen, those at the corners half as much.
    weights = (far == radius + 1) / np.where(np.add.outer(away, away) == 2 * radius + 2, 2.0, 1.0)
    around = convolve(plane, weights / weights.sum(), mode="mirror")
    step = GRID_STEP if radius == 0 else 2 * radius + 4
    for phase in range(_PHASES):
        judged = np.zeros(plane.shape, bool)
        judged[(phase * step // _PHASES) :: step, (phase * (step // 2 + 1)) % step :: step] = True
        distance, nearest = distance_transform_edt(~judged, return_indices=True)
        near = distance == 0 if radius == 0 else _box(judged, radius)
        filled = plane.copy()
        filled[near] = around[tuple(nearest)][near]
        yield filled, judged


def _box(judged: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    from scipy.ndimage import maximum_filter

    boxes: NDArray[np.bool_] = maximum_filter(judged.view(np.uint8), 2 * radius + 1, mode="constant").astype(bool)
    return boxes
