"""Judge a denoised picture without truth: its error and the structure it invented, from an independent repeat.

A is what was denoised, P = den(A) the result, B an independent repeat: same scene, noise independent of A's.

- **Error.** ``mean((P - B)^2) - mean(var_B)`` is the result's mean squared error (`quietframe.metrics.repeats`). Where
  the variance of B is not known, A and B are taken as equally noisy, ``var_B = mean((A - B)^2) / 2``.
- **Invented structure.** ``z = sum(B - P) / sqrt(sum(var_A + var_B))`` over 5 x 5 pixels. A result that returns A
  unchanged has z of standard deviation 1, a perfect one less, since its own error is smaller than A's. Where |z| > 4.5
  the repeat contradicts the result: structure was invented, or real structure was smoothed away.

A pixel where A and B themselves differ by more than six standard deviations (a cosmic hit, a blinking or moving
object) says nothing about the denoiser; it is left out and counted.

References
----------
Lehtinen et al., Noise2Noise, ICML 2018 (independent noisy targets). The z test is the two-sample test of 5 x 5 sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..metrics.repeats import RepeatError, mse_from_repeat

Z_LIMIT = 4.5
"""Above this |z| a pixel is flagged: 7 false ones in a million with Gaussian noise."""

BOX = 5
"""Side of the squares that the z map sums over [px]."""

OUTLIER_SIGMA = 6.0
"""A and B contradict each other where they differ by more than this many standard deviations."""

MAX_LEFT_OUT = 0.02
"""When more than this fraction would be left out, the noise is not understood: nothing is, and the report says so."""


@dataclass(frozen=True)
class Judgement:
    """What an independent repeat says about one denoised plane; everything in the picture's unit.

    Parameters
    ----------
    result, noisy
        Estimated error of the denoised plane and of the plane that was denoised.
    variance_repeat
        Mean noise variance of the repeat that was subtracted.
    variance_given
        Whether that came with the repeat; otherwise equal noise was assumed.
    scatter
        mean((A - B)^2), which is var_A + var_B.
    level_shift
        mean(repeat - noisy): light that changed between the two. It adds its square to both errors.
    level_shift_error
        Standard error of `level_shift`.
    z_map
        float32, shape (Y, X); positive where the result is too dark. 0 where nothing can be said.
    n_flagged, n_places
        Pixels with |z| > 4.5, and how many connected places they make.
    n_left_out
        Pixels left out because the two exposures contradict each other.
    n_contradictions
        Pixels that contradict each other; more than `n_left_out` when there were too many to leave out.
    """

    result: RepeatError
    noisy: RepeatError
    variance_repeat: float
    variance_given: bool
    scatter: float
    level_shift: float
    level_shift_error: float
    z_map: NDArray[np.float32]
    n_flagged: int
    n_places: int
    n_left_out: int
    n_contradictions: int

    @property
    def improvement_db(self) -> float | None:
        """10 log10(error of noisy / error of result); None where one of them is not measured."""
        if not (self.result.is_measured and self.noisy.is_measured):
            return None
        return 10 * math.log10(self.noisy.mse / self.result.mse)

    @property
    def variance_credible(self) -> bool:
        """Whether the repeat's variance is at most the whole scatter between picture and repeat, var_A + var_B."""
        return self.variance_repeat <= 1.05 * self.scatter

    @property
    def level_changed(self) -> bool:
        """Whether the light level changed for sure, and enough to make up a tenth of the result's error."""
        significant = abs(self.level_shift) > 5 * self.level_shift_error
        return significant and self.level_shift**2 > 0.1 * max(self.result.mse, self.result.standard_error)


def judge_plane(
    noisy: NDArray[Any],
    result: NDArray[Any],
    repeat: NDArray[Any],
    *,
    variance_noisy: NDArray[Any] | None = None,
    variance_repeat: NDArray[Any] | None = None,
) -> Judgement:
    """Judge one denoised plane against an independent repeat.

    Parameters
    ----------
    noisy, result, repeat
        A, den(A) and B: planes (Y, X) of one shape and unit, at least 5 x 5 pixels. Pixels that are not finite in one
        of them are not used.
    variance_noisy, variance_repeat
        Noise variance of A and B, unit squared, same shape, where known (a ramp fit gives it).

    Raises
    ------
    InputError
        When shapes differ, the planes are smaller than 5 x 5, too few pixels are finite, or A and B are equal.
    """
    noisy, result, repeat = _planes(noisy, result, repeat)
    finite = np.isfinite(noisy) & np.isfinite(result) & np.isfinite(repeat)
    both = _sum_of_variances(noisy, repeat, variance_noisy, variance_repeat, finite)
    difference = noisy - repeat
    contradicting = finite & (np.abs(np.where(finite, difference, 0.0)) > OUTLIER_SIGMA * np.sqrt(both))
    n_contradictions = int(np.count_nonzero(contradicting))
    leave_out = n_contradictions <= MAX_LEFT_OUT * np.count_nonzero(finite)
    use = finite & ~contradicting if leave_out else finite
    given = variance_repeat is not None
    variance = np.asarray(variance_repeat, dtype=np.float64) if given else difference**2 / 2
    z_map = structure_z_map(result, repeat, both, use=use)
    flagged = np.abs(z_map) > Z_LIMIT
    return Judgement(
        result=mse_from_repeat(result, repeat, variance, use=use),
        noisy=mse_from_repeat(noisy, repeat, variance, use=use),
        variance_repeat=float(variance[use].mean()),
        variance_given=given,
        scatter=float((difference[use] ** 2).mean()),
        level_shift=-float(difference[use].mean()),
        level_shift_error=math.sqrt(float(both[use].mean()) / int(np.count_nonzero(use))),
        z_map=z_map,
        n_flagged=int(np.count_nonzero(flagged)),
        n_places=_count_places(flagged),
        n_left_out=n_contradictions if leave_out else 0,
        n_contradictions=n_contradictions,
    )


def structure_z_map(
    result: NDArray[Any],
    repeat: NDArray[Any],
    variance: NDArray[Any],
    *,
    use: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return z = sum(repeat - result) / sqrt(sum(variance)) over squares of 5 x 5 pixels.

    Parameters
    ----------
    result, repeat
        den(A) and B, planes (Y, X).
    variance
        var_A + var_B, same shape, unit squared.
    use
        Pixels to sum; None uses all finite ones. At the border and beside unused pixels the sums are shorter, above
        and below the line alike.

    Returns
    -------
    ndarray
        float32, shape (Y, X), 0 where no variance is summed.
    """
    from scipy.ndimage import uniform_filter

    difference = np.asarray(repeat, dtype=np.float64) - np.asarray(result, dtype=np.float64)
    keep = np.isfinite(difference) if use is None else use
    area = BOX * BOX
    above = uniform_filter(np.where(keep, difference, 0.0), BOX, mode="constant") * area
    below = uniform_filter(np.where(keep, variance, 0.0), BOX, mode="constant") * area
    # The running sums leave rounding dust where all terms are 0.
    dust = 1e-9 * float(below.max(initial=0.0))
    z = np.where(keep & (below > dust), above / np.sqrt(np.maximum(below, max(dust, 1e-300))), 0.0)
    return z.astype(np.float32)


def pair_variance_map(
    first: NDArray[Any], second: NDArray[Any], *, use: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Estimate var_first + var_second per pixel as a function of the local brightness, from the pair alone.

    The squared differences are averaged over pixels of equal brightness (5 x 5 mean of both pictures); classes get
    finer towards both ends, where few pixels cover a wide range, and the brightest is continued in proportion.

    Parameters
    ----------
    first, second
        Two repeats, planes (Y, X); their noise may differ in strength.
    use
        Pixels that are to be learned from; None uses all finite ones.

    Returns
    -------
    ndarray
        float64, shape (Y, X), above 0 where anything was learned.

    Raises
    ------
    InputError
        When the two are equal at all usable pixels.
    """
    from scipy.ndimage import uniform_filter

    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    keep = np.isfinite(first) & np.isfinite(second)
    keep = keep if use is None else keep & use
    squares = np.where(keep, first - second, 0.0) ** 2
    if not squares.any():
        raise InputError(
            "the picture and its repeat are equal, so the repeat is no second exposure; "
            "give one with its own noise, not a copy"
        )
    weight = np.maximum(uniform_filter(keep.astype(np.float64), BOX, mode="constant"), 0.5 / BOX**2)
    brightness = uniform_filter(np.where(keep, first + second, 0.0), BOX, mode="constant") / weight
    centres, variances = _variance_by_brightness(brightness[keep], squares[keep])
    variance: NDArray[np.float64] = np.interp(brightness, centres, variances)
    if len(centres) > 1 and centres[-1] > centres[-2]:
        slope = max(0.0, (variances[-1] - variances[0]) / (centres[-1] - centres[0]))
        variance += slope * np.maximum(0.0, brightness - centres[-1])
    floored: NDArray[np.float64] = np.maximum(variance, variances[variances > 0].min())
    return floored


def _variance_by_brightness(
    brightness: NDArray[np.float64], squares: NDArray[np.float64], smallest: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average squares over classes of brightness: sixteen equal ones, the first and last halved down to `smallest`."""
    order = np.argsort(brightness, kind="stable")
    n = order.size
    edges = [n * part // 16 for part in range(16)] if n >= 16 * smallest else [0]
    if len(edges) > 1:
        while edges[1] >= 2 * smallest:
            edges.insert(1, edges[1] // 2)
        while n - edges[-1] >= 2 * smallest:
            edges.append((edges[-1] + n) // 2)
    starts = np.array(edges)
    sizes = np.diff(np.append(starts, n))
    return (
        np.add.reduceat(brightness[order], starts) / sizes,
        np.add.reduceat(squares[order], starts) / sizes,
    )


def _sum_of_variances(
    noisy: NDArray[np.float64],
    repeat: NDArray[np.float64],
    variance_noisy: NDArray[Any] | None,
    variance_repeat: NDArray[Any] | None,
    finite: NDArray[np.bool_],
) -> NDArray[np.float64]:
    for name, given in (("noisy picture", variance_noisy), ("repeat", variance_repeat)):
        if given is not None and np.shape(given) != noisy.shape:
            raise InputError(
                f"the variance of the {name} has shape {np.shape(given)}, the picture {noisy.shape}; they must be equal"
            )
    if variance_noisy is not None and variance_repeat is not None:
        given_sum: NDArray[np.float64] = np.asarray(variance_noisy, dtype=np.float64) + np.asarray(variance_repeat)
        return np.where(np.isfinite(given_sum), given_sum, 0.0)
    both = pair_variance_map(noisy, repeat, use=finite)
    # Outliers raise the variance they are judged by: up to three rounds without those found before.
    n_kept = n_finite = int(np.count_nonzero(finite))
    for _ in range(3):
        kept = finite & (np.abs(np.where(finite, noisy - repeat, 0.0)) <= OUTLIER_SIGMA * np.sqrt(both))
        n_before, n_kept = n_kept, int(np.count_nonzero(kept))
        if n_kept == n_before or n_kept < (1 - MAX_LEFT_OUT) * n_finite:
            break
        both = pair_variance_map(noisy, repeat, use=kept)
    return both


def _planes(*planes: NDArray[Any]) -> list[NDArray[np.float64]]:
    shapes = [np.shape(plane) for plane in planes]
    if len(set(shapes)) > 1:
        raise InputError(
            "the noisy picture, the result and the repeat must have one shape; "
            f"got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    if len(shapes[0]) != 2 or min(shapes[0]) < BOX:
        raise InputError(f"a plane (Y, X) of at least {BOX} x {BOX} pixels is needed to judge; got shape {shapes[0]}")
    arrays = [np.asarray(plane, dtype=np.float64) for plane in planes]
    return [np.where(np.isinf(array), np.nan, array) for array in arrays]


def _count_places(flagged: NDArray[np.bool_]) -> int:
    from scipy.ndimage import label

    return int(label(flagged, structure=np.ones((3, 3)))[1])
