"""Power laws in the length of a difference: SNR ~ A k^p, and PSNR' ~ A k^p + C.

Theory for SNR: p = 1 where read noise rules, falling to 1/2 where photons do. PSNR' has a floor C, because the maximum
of an image that holds only noise is itself about four and a half standard deviations: a straight line through points
near it gives a power that is too low.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]

ABOVE_FLOOR = 1.5
"""With too few points to fit the floor, those above this many times the maximum of pure noise are used."""


@dataclass(frozen=True)
class PowerLaw:
    """``value = factor * k ** power + floor``.

    Parameters
    ----------
    factor, power, floor
        Of the law.
    power_error
        Standard error of `power` from the scatter of the points; None where they are as few as the parameters.
    n_points
        Points it was fitted to.
    """

    factor: float
    power: float
    floor: float
    power_error: float | None
    n_points: int

    def __call__(self, difference: Any) -> Any:
        """Return the law at one difference or many."""
        return self.factor * np.asarray(difference, np.float64) ** self.power + self.floor

    def text(self) -> str:
        """Return the law in words: ``0.45 k^1.04 + 4.5``."""
        floor = f" + {self.floor:.2g}" if self.floor else ""
        return f"{self.factor:.3g} k^{self.power:.2f}{floor}"

    def numbers(self) -> dict[str, float | int | None]:
        """Return it as a plain dict."""
        return {
            "factor": self.factor,
            "power": self.power,
            "power_error": self.power_error,
            "floor": self.floor,
            "points": self.n_points,
        }


def noise_maximum(n_pixels: int) -> float:
    """Return the usual (median) maximum of `n_pixels` values of pure noise, in standard deviations.

    Examples
    --------
    >>> round(noise_maximum(65536), 1)
    4.3
    """
    return float(stats.norm.isf(-math.expm1(math.log(0.5) / n_pixels)))


def fit_power_law(differences: Sequence[float], values: Sequence[float]) -> PowerLaw | None:
    """Fit ``A k^p`` as a straight line through the logarithms; None with fewer than 3 different k.

    Parameters
    ----------
    differences
        k, > 0.
    values
        One per k; those not above 0 are left out.
    """
    k, y = _usable(differences, values)
    if len(np.unique(k)) < 3:
        return None
    line = stats.linregress(np.log(k), np.log(y))
    return PowerLaw(float(np.exp(line.intercept)), float(line.slope), 0.0, float(line.stderr), len(k))


def fit_with_floor(differences: Sequence[float], values: Sequence[float], n_pixels: int) -> PowerLaw | None:
    """Fit ``A k^p + C`` with C between 0 and the smallest value, by least squares of the logarithms.

    With fewer than 5 different k the floor is not fitted: the straight line is drawn through the points well above the
    maximum of pure noise. None where not enough of them are left.

    Parameters
    ----------
    differences, values
        As in `fit_power_law`.
    n_pixels
        Pixels of the image, for the maximum of pure noise.
    """
    k, y = _usable(differences, values)
    if len(np.unique(k)) < 5:
        above = y > ABOVE_FLOOR * noise_maximum(n_pixels)
        return fit_power_law(k[above].tolist(), y[above].tolist())
    best = min((_from_start(k, y, part) for part in (0.0, 0.5, 0.9)), key=lambda found: float(found.cost))
    factor, power, floor = float(np.exp(best.x[0])), float(best.x[1]), float(best.x[2])
    if floor < 1e-3 * float(y.min()):
        return fit_power_law(k.tolist(), y.tolist())
    return PowerLaw(factor, power, floor, _power_error(best, len(k)), len(k))


def _usable(differences: Sequence[float], values: Sequence[float]) -> tuple[Floats, Floats]:
    k, y = np.asarray(differences, np.float64), np.asarray(values, np.float64)
    good = np.isfinite(y) & (y > 0) & (k > 0)
    return k[good], y[good]


def _from_start(k: Floats, y: Floats, part: float) -> Any:
    """Fit from a floor of `part` of the smallest value."""
    lowest = float(y.min())
    rest = y - part * lowest
    slope, level = np.polyfit(np.log(k), np.log(np.maximum(rest, 1e-6 * lowest)), 1)
    start = (level, float(np.clip(slope, -2.9, 2.9)), part * lowest)

    def residual(law: Floats) -> Floats:
        return np.asarray(np.log(np.exp(law[0]) * k ** law[1] + law[2]) - np.log(y))

    scale = (1.0, 1.0, max(lowest, 1e-12))
    bounds = ([-np.inf, -3.0, 0.0], [np.inf, 3.0, lowest])
    return optimize.least_squares(residual, start, bounds=bounds, x_scale=scale)


def _power_error(found: Any, n_points: int) -> float | None:
    if n_points <= 3:
        return None
    scatter = 2.0 * float(found.cost) / (n_points - 3)
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * scatter
    return float(np.sqrt(max(covariance[1, 1], 0.0)))
