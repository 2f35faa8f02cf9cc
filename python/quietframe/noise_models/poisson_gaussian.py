"""Photon noise and read noise as one line: the variance of a pixel grows with its mean.

    variance = slope * mean + intercept      [ADU]

The slope is one over the gain in electrons per ADU. The intercept holds the read noise and the black level, ``read
noise^2 - slope * black``, and one picture does not tell these apart; nor need it, for stabilising a variance asks for
the line alone. An intercept below 0 is a black level, one above 0 is taken for read noise, unless a black level is
given.

From one picture the line is estimated as follows. A wavelet (Daubechies, 2 vanishing moments) along both axes takes
straight shading away and leaves noise, and structure as fine as the pixels. Blocks of 8 px give a mean and a variance
each; blocks at an end of the range are left out. Among the blocks of one brightness the lowest third of the variances,
divided by what that quantile is for noise alone, is the noise: fine structure would have to fill two blocks in three.
The line through these is fitted robustly, each with the relative error they share. Where the noise of neighbours is
correlated, the wavelet sees too little of it; the measured correlation says how much, and that is made good.

References
----------
Foi, Trimeche, Katkovnik and Egiazarian 2008, "Practical Poissonian-Gaussian noise modeling and fitting for single-image
raw-data", IEEE Transactions on Image Processing 17, 1737, doi 10.1109/TIP.2008.2001399 (the model, wavelet details
against local means, a robust fit; here quantiles of blocks stand in for its segmentation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import InputError, OptionError
from ..metrics.noise_correlation import NoiseCorrelation, noise_correlation

BLOCK = 8
"""Side of the blocks [px]."""
QUANTILE = 1 / 3
"""Share of the blocks of one brightness whose variance is below the one that is taken."""
SMALLEST = 32
"""Smallest side of a picture whose noise is estimated [px]."""
_WAVELET = np.array([-0.12940952255092145, -0.22414386804185735, 0.836516303737469, -0.48296291314469025])
_BINS = 24
_LARGER_BLOCK = 24
_STRUCTURE = 0.08  # rise of the correlation from small to larger blocks, from which it is structure
_WEAKEST = 0.93  # smallest share that a correlation below significance is believed to leave
_BLOCKS_PER_BIN = 12
_CLIPPED = 0.05  # share of a block's pixels at an end of the range, above which it is left out
_CLIPPED_PICTURE = 1e-3  # share of the picture at its smallest or largest value that makes this an end of the range

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseLine:
    """The variance of a pixel against its mean.

    Parameters
    ----------
    slope
        [ADU]; 0 for noise that does not depend on brightness.
    intercept
        [ADU^2].
    source
        Where the line comes from, for messages.
    black_adu
        Value of a pixel without light, where it is known.
    floor
        Smallest variance that was met [ADU^2]; below the black level a line goes on to less than nothing.
    correlation
        How the noise of neighbours is correlated, where that was measured.
    notes
        What was taken for granted, in sentences.
    """

    slope: float
    intercept: float
    source: str
    black_adu: float | None = None
    floor: float = 0.0
    correlation: NoiseCorrelation | None = None
    notes: tuple[str, ...] = ()

    @property
    def dark(self) -> tuple[float, float]:
        """Black level [ADU] and read noise [ADU] that the intercept stands for."""
        black = self.black_adu or 0.0
        power = self.intercept + self.slope * black
        if power < 0 < self.slope:
            return -self.intercept / self.slope, 0.0
        return black, math.sqrt(max(power, 0.0))

    @property
    def text(self) -> str:
        """The line in words."""
        sign = "-" if self.intercept < 0 else "+"
        return f"variance = {self.slope:.4g} * mean {sign} {abs(self.intercept):.4g} ADU^2"

    def variance(self, mean: NDArray[Any]) -> Plane:
        """Return the variance [ADU^2] of pixels with these means [ADU]; any shape."""
        values: Plane = np.maximum(self.slope * np.asarray(mean, dtype=np.float64) + self.intercept, self.floor)
        return values


def line_of_camera(camera: Camera) -> NoiseLine:
    """Return the noise of single reads of a camera.

    Parameters
    ----------
    camera
        Its gain must be known; a read noise or black level that is not is taken as 0.

    Raises
    ------
    OptionError
        When the gain is not known.
    """
    if camera.gain_e_per_adu is None:
        raise OptionError(
            "the noise of the camera is not known without its gain: give --gain-e-per-adu (and --read-noise-e, "
            "--black-adu), or let the noise be estimated (--stabilise image)"
        )
    slope, black = 1.0 / camera.gain_e_per_adu, camera.black_adu or 0.0
    read = (camera.read_noise_e or 0.0) * slope
    missing = [name for name in ("read_noise_e", "black_adu") if getattr(camera, name) is None]
    notes = (f"{' and '.join(missing)} not given: taken as 0",) if missing else ()
    return NoiseLine(slope, read**2 - slope * black, "the camera", black, read**2, notes=notes)


def line_of_pair(first: NDArray[Any], second: NDArray[Any]) -> NoiseLine:
    """Measure the noise on two pictures of one scene.

    Parameters
    ----------
    first, second
        Planes (Y, X) of one shape, at least 32 px a side, finite [ADU].

    Raises
    ------
    InputError
        For other shapes, and pictures whose difference is 0 almost everywhere.
    """
    a, b = _plane(first), _plane(second)
    if a.shape != b.shape:
        raise InputError(f"two pictures of one scene have one shape; got {a.shape} and {b.shape}")
    mean, half = (a + b) / 2, (a - b) ** 2 / 2
    inside = _blocks(_clipped(a) | _clipped(b), 4).ravel() <= _CLIPPED
    means, variances = _blocks(mean, 4).ravel()[inside], _blocks(half, 4).ravel()[inside]
    return _line(*_binned(means, variances, None), "two pictures")


def estimate_line(planes: Sequence[NDArray[Any]] | NDArray[Any]) -> NoiseLine:
    """Estimate the noise from pictures that show structure, each by itself.

    Parameters
    ----------
    planes
        One plane (Y, X), or several with one noise; finite, at least 32 px a side [ADU].

    Raises
    ------
    InputError
        When a picture is too small, not finite, or without noise, or clipped almost everywhere.
    """
    given = [planes] if isinstance(planes, np.ndarray) and planes.ndim == 2 else list(planes)
    pictures = [_plane(plane) for plane in given]
    parts = [_block_noise(plane) for plane in pictures]
    means, variances = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    bins = _binned(means, variances / _quantile_of_noise(), QUANTILE)
    correlation = _correlation(pictures[0])
    seen = 1.0
    notes: tuple[str, ...] = ()
    if correlation is not None:
        seen = _share_seen(correlation)
    if correlation is not None and correlation.significant:
        strongest = max(correlation.x, correlation.y)
        notes = (f"the noise of neighbouring pixels is correlated ({strongest:.2f}); its variance allows for that",)
    where = "the picture" if len(pictures) == 1 else f"{len(pictures)} planes"
    return _line(bins[0], bins[1] / seen, where, correlation, notes)


def _plane(image: NDArray[Any]) -> Plane:
    plane = np.asarray(image, dtype=np.float64)
    if plane.ndim != 2 or min(plane.shape) < SMALLEST:
        raise InputError(
            f"the noise is estimated from planes of at least {SMALLEST} x {SMALLEST} px; got shape {plane.shape}; give "
            "the camera's gain and read noise, or a larger picture"
        )
    if not np.isfinite(plane).all():
        raise InputError("the picture has pixels that are not finite; fill them before estimating its noise")
    return plane


def _clipped(plane: Plane) -> NDArray[np.bool_]:
    """Return which pixels are at an end of the range, if that end is one."""
    ends = np.zeros(plane.shape, bool)
    for end in (plane.min(), plane.max()):
        at = plane == end
        if at.mean() > _CLIPPED_PICTURE:
            ends |= at
    return ends


def _blocks(values: NDArray[Any], side: int) -> Plane:
    """Return the means of the whole blocks that fit."""
    rows, columns = (size // side for size in values.shape)
    cut = values[: rows * side, : columns * side].reshape(rows, side, columns, side)
    means: Plane = cut.mean(axis=(1, 3), dtype=np.float64)
    return means


def _block_noise(plane: Plane) -> tuple[Plane, Plane]:
    """Return mean and wavelet variance of each block away from the ends of the range."""
    from scipy.ndimage import convolve1d, uniform_filter

    level = plane.mean()  # keeps the digits of pictures on a high offset
    fine = convolve1d(convolve1d(plane - level, _WAVELET, axis=0), _WAVELET, axis=1)
    means = _blocks(uniform_filter(plane - level, len(_WAVELET)), BLOCK) + level
    inside = _blocks(_clipped(plane), BLOCK) <= _CLIPPED
    return means[inside], _blocks(fine**2, BLOCK)[inside]


def _quantile_of_noise() -> float:
    """Return the quantile of a block's variance under white noise of variance 1, by the chi-square of equal moments."""
    from scipy.stats import chi2

    overlap = np.correlate(_WAVELET, _WAVELET, "full")
    lags = np.arange(1 - len(_WAVELET), len(_WAVELET))
    line = float((overlap**2 * (BLOCK - np.abs(lags))).sum()) / BLOCK**2
    freedom = 1.0 / line**2
    return float(chi2.ppf(QUANTILE, freedom) / freedom)


def _binned(means: Plane, variances: Plane, quantile: float | None) -> tuple[Plane, Plane]:
    """Put blocks of equal brightness together; return the mean of each bin, and its variance."""
    if len(means) < 2 * _BLOCKS_PER_BIN:
        raise InputError(
            f"only {len(means)} blocks of the picture are not clipped, too few to tell its noise; give the camera's "
            "gain and read noise, or a picture with less saturation"
        )
    order = np.argsort(means, kind="stable")
    bins = np.array_split(order, int(np.clip(len(order) // _BLOCKS_PER_BIN, 2, _BINS)))
    levels = np.array([means[part].mean() for part in bins])
    taken = [variances[part].mean() if quantile is None else np.quantile(variances[part], quantile) for part in bins]
    return levels, np.array(taken)


def _line(
    levels: Plane,
    variances: Plane,
    source: str,
    correlation: NoiseCorrelation | None = None,
    notes: tuple[str, ...] = (),
) -> NoiseLine:
    """Fit a line robustly; a slope below 0 becomes 0."""
    scale = float(np.median(variances))
    if not scale > 1e-12 * max(float(np.max(levels**2)), 1e-300):
        raise InputError(f"{source} holds no noise in most places, so there is none to estimate")
    centre = float(levels.mean())
    design = np.stack([levels - centre, np.ones_like(levels)], axis=1)
    expected = np.maximum(variances, 0.02 * scale)
    trust = np.ones_like(levels)
    for _ in range(30):
        weights = trust / expected**2
        normal = (design * weights[:, None]).T @ design
        slope, height = np.linalg.lstsq(normal, (design * weights[:, None]).T @ variances, rcond=None)[0]
        expected = np.maximum(design @ (slope, height), 0.02 * scale)
        error = np.abs(variances - expected) / expected
        spread = max(1.4826 * float(np.median(error)), 1e-9)
        trust = np.minimum(1.0, 1.5 * spread / np.maximum(error, 1e-12))
    floor = float(variances.min())
    if slope <= 0:
        flat = float(np.average(variances, weights=trust))
        return NoiseLine(0.0, flat, source, None, floor, correlation, notes)
    return NoiseLine(float(slope), float(height - slope * centre), source, None, floor, correlation, notes)


def _correlation(plane: Plane) -> NoiseCorrelation | None:
    """Measure the correlation; where there is one, on larger blocks, if structure does not enter these."""
    try:
        found = noise_correlation(plane)
        if not found.significant:
            return found
        larger = noise_correlation(plane, block=_LARGER_BLOCK) if min(plane.shape) >= 4 * _LARGER_BLOCK else found
    except InputError:  # too small, or clipped: then white noise is assumed
        return None
    return larger if max(larger.x - found.x, larger.y - found.y) < _STRUCTURE else found


def _share_seen(correlation: NoiseCorrelation) -> float:
    """Return the variance that the wavelet sees of correlated noise, over what it sees of white noise."""
    overlap = np.correlate(_WAVELET, _WAVELET, "full")
    reach = len(_WAVELET) - 1
    middle = slice(correlation.lags - reach, correlation.lags + reach + 1)
    share = float(overlap @ correlation.values[middle, middle] @ overlap)
    # Weak correlation may be dense structure; what it takes from the noise in truth is a few percent.
    return max(0.02, share) if correlation.significant else min(1.0, max(_WEAKEST, share))
