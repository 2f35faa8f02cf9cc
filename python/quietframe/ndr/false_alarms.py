"""How many sigma make a jump: the same chance of a false alarm in every ramp, however long and however dark.

Two things make more false alarms than the normal distribution tells from one test at 5 sigma. Every difference of a
ramp is tested, so 1000 reads give ten times those of 100. And photons are counted: the test adds up the light of about
``2 / kappa`` sub-frames, and where these hold few photons its chance of a large value is far above the normal one (at 3
e- of read noise and 0.1 photons per sub-frame 9 times, at 5 sigma). So `jump_sigma` means: the chance of a false alarm
that a normal distribution would give a ramp of 100 reads at this many sigma. Longer ramps get a higher threshold;
shorter ones keep it. The tail of the test is that of normal read noise plus weighted Poisson counts, by a saddlepoint
approximation.

References
----------
R. Lugannani and S. Rice, "Saddle point approximation for the distribution of the sum of independent random variables",
Adv. Appl. Prob. 12, 475 (1980).
O. E. Barndorff-Nielsen, "Inference on full or partial parameters based on the standardized signed log likelihood
ratio", Biometrika 73, 307 (1986).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

REFERENCE_READS = 100
"""Length of the ramp whose chance of a false alarm `jump_sigma` names, reads."""

Floats = NDArray[np.float64]

_PHI = np.geomspace(1e-7, 1e4, 56)
_TILT = np.geomspace(5e-3, 12.0, 72)
_NODES = np.arange(-40, 41)


def chance(jump_sigma: float, n_reads: int) -> float:
    """Return the chance of a false alarm upwards (and as much downwards) that each test of a ramp may have."""
    return float(special.ndtr(-jump_sigma) * (REFERENCE_READS - 1) / max(n_reads - 1, REFERENCE_READS - 1))


def thresholds(flux_e: NDArray[Any], read_noise_e: float, n_reads: int, jump_sigma: float) -> Floats:
    """Return the size of a step above which it is a jump, in standard deviations of the test.

    Parameters
    ----------
    flux_e
        e-/px/sub-frame, > 0, any shape.
    read_noise_e
        Read noise of one read, e- rms, > 0.
    n_reads
        Reads in the ramp.
    jump_sigma
        Significance that is asked for, for a ramp of `REFERENCE_READS` reads.

    Returns
    -------
    ndarray of the shape of `flux_e`, float64
        Never below `jump_sigma`.
    """
    # Steps of 5 % in noise and of 2 in length change the threshold by less than 0.05, and need few tables.
    noise = float(np.exp(0.05 * np.round(np.log(read_noise_e) / 0.05)))
    length = int(2 ** np.round(np.log2(max(n_reads, 2))))
    one = chance(jump_sigma, n_reads)
    needed = -float(special.ndtri(one))
    upper, lower = _tail(noise, length, 1.0), _tail(noise, length, -1.0)
    table = np.empty(len(_PHI))
    for i in range(len(_PHI)):
        down = special.ndtr(-np.interp(np.interp(needed, upper[1][i], upper[0][i]), lower[0][i], lower[1][i]))
        both = -special.ndtri(2.0 * one - min(down, one))  # what is rarer downwards may be more frequent upwards
        table[i] = np.interp(both, upper[1][i], upper[0][i])
    phi = np.asarray(flux_e, np.float64) / read_noise_e**2
    return np.asarray(np.maximum(np.interp(np.log(np.maximum(phi, _PHI[0])), np.log(_PHI), table), jump_sigma))


@lru_cache(maxsize=128)
def _tail(read_noise_e: float, n_reads: int, sign: float) -> tuple[Floats, Floats]:
    """Tabulate the upper (sign 1) or lower (sign -1) tail of the test for each ratio in `_PHI`.

    Returns
    -------
    size : ndarray of shape (56, 72), float64
        Values of the test times `sign`, in its standard deviations, ascending along the last axis.
    normal : ndarray of shape (56, 72), float64
        Value that a standard normal variable exceeds as rarely.
    """
    # A photon counts exp(-kappa |i - j|) in the test at i; in short or dark ramps the ramp's length limits that.
    decay = np.maximum(2.0 * np.arcsinh(np.sqrt(_PHI) / 2.0), 4.0 / n_reads)[:, None, None]
    step = np.maximum(1.0, 0.2 / decay)
    weight = sign * np.exp(-decay * step * np.abs(_NODES)) / (read_noise_e * np.sqrt(2.0 * np.sinh(decay)))
    photons = (_PHI * read_noise_e**2)[:, None, None] * step
    tilt = _TILT[:, None]
    rise = np.expm1(np.minimum(tilt * weight, 500.0))
    read = np.maximum(1.0 - (photons * weight**2).sum(axis=-1), 0.0)
    logs = read * _TILT**2 / 2 + (photons * (rise - tilt * weight)).sum(axis=-1)
    size = read * _TILT + (photons * weight * rise).sum(axis=-1)
    spread = read + (photons * weight**2 * (rise + 1.0)).sum(axis=-1)
    root = np.sqrt(np.maximum(2.0 * (_TILT * size - logs), 1e-30))
    normal = root + np.log(_TILT * np.sqrt(spread) / root) / root
    return size, np.maximum.accumulate(normal, axis=-1)
