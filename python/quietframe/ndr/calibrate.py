"""Gain and read noise of a camera from one ramp, with no flat and no dark exposure.

With the adjacent differences d_i of one ramp in ADU, gain g [e-/ADU], flux f and read noise s [e-]:

- ``V1 = <(d_i - d_{i+1})^2> / 2 = (f + 3 s^2) / g^2``
- ``V2 = <(d_i - d_{i+2})^2> / 2 = (f + 2 s^2) / g^2``, so ``s^2 / g^2 = V1 - V2``
- for guarded windows of k sub-frames ``Vk = (k f + 2 s^2) / g^2``, so ``1/g = sum (Vk - V2) / ((k - 1) sum mean d)``

The pixel's own signal cancels in every one of these differences, so structure, offset and kTC noise do no harm.
Rounding to whole ADU adds 1/12 ADU^2 to the read noise, which is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..camera import Camera
from ..errors import InputError
from .reads import Reads, as_reads, check_range

SAMPLES = 2**24
"""Reads x pixels that are looked at; rows are left out evenly where there are more."""

LONGEST_WINDOW = 16
GROUPS = 16
"""Parts of the image whose scatter gives the errors."""

WORST_ERROR = 0.1
"""A gain less certain than this (relative) is no measurement: rates in ADU are better than wrong electrons."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What one ramp says of its camera.

    Parameters
    ----------
    gain_e_per_adu, gain_error
        Gain and its standard error; None when it cannot be measured.
    read_noise_adu, read_noise_error
        Read noise of one read [ADU rms] and its standard error.
    saturation_adu
        Level at which ramps stop rising, when some do; None otherwise.
    window
        k of the longest windows compared; 1 when the ramp is too short for the gain.
    reason
        Why there is no gain; empty when there is.
    """

    gain_e_per_adu: float | None
    gain_error: float | None
    read_noise_adu: float
    read_noise_error: float
    saturation_adu: float | None
    window: int
    reason: str = ""

    @property
    def read_noise_e(self) -> float | None:
        """Read noise of one read, e- rms; None without a gain."""
        return None if self.gain_e_per_adu is None else self.read_noise_adu * self.gain_e_per_adu


def calibrate(
    reads: Reads | NDArray[Any], *, first: int = 0, last: int | None = None, gain_e_per_adu: float | None = None
) -> Calibration:
    """Measure gain and read noise from the ramps themselves.

    Pixels with a saturated or missing read, and pixels that jump, are left out.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    first, last
        Reads used, ``reads[first:last]``, from 0.
    gain_e_per_adu
        The gain where it is known: the read noise then becomes more certain.

    Raises
    ------
    InputError
        When all reads are equal, there are fewer than 4 (noise cannot be told from signal), or no pixel is usable.
    """
    stack = as_reads(reads)
    first, last = check_range(len(stack), first, last)
    sample = _sample(stack, first, last)
    lowest, highest = float(np.fmin.reduce(sample, axis=None)), float(np.fmax.reduce(sample, axis=None))
    if lowest == highest:
        raise InputError(
            f"all reads are equal (value {lowest:g}): nothing was collected, nothing can be fitted; "
            "is this the exposure file?"
        )
    if last - first < 4:
        raise InputError(
            f"the read noise cannot be measured from {last - first} reads (4 are needed); give --read-noise-e and "
            "--gain-e-per-adu"
        )
    level = find_saturation(sample)
    end = float(np.iinfo(stack.dtype).max) if stack.dtype.kind in "ui" else np.inf
    usable = _usable(sample, level, end)
    if np.count_nonzero(usable) < GROUPS:
        raise InputError(
            f"only {np.count_nonzero(usable)} of {usable.size} pixels have a whole, finite, unsaturated ramp: too few "
            "to measure the read noise; give --read-noise-e and --gain-e-per-adu, or --last to use fewer reads"
        )
    return _photon_transfer(sample, usable, level, gain_e_per_adu, stack.dtype.kind in "ui")


def _sample(stack: Reads, first: int, last: int) -> NDArray[Any]:
    """Return rows of the reads, evenly spread, at most `SAMPLES` values, shape (N, rows, X)."""
    _, height, width = stack.shape
    step = max(1, -(-(last - first) * height * width // SAMPLES))
    sample = np.empty((last - first, -(-height // step), width), stack.dtype.newbyteorder("="))
    for position, plane in enumerate(stack.planes(first, last)):
        sample[position] = plane[::step]
    return sample


def find_saturation(sample: NDArray[Any]) -> float | None:
    """Find the level at which ramps stop rising: bright pixels that rise no more, all at about the same level.

    Parameters
    ----------
    sample
        Reads, shape (N, rows, X), ADU.

    Returns
    -------
    float or None
        A low one of the levels where ramps stand still [ADU]; None when there are no such pixels.
    """
    if len(sample) < 4:
        return None
    whole = np.isfinite(sample).all(axis=0)
    first, second, third, before, last = (sample[i][whole].astype(np.float64) for i in (0, 1, 2, -2, -1))
    if first.size < 8:
        return None
    fastest = np.maximum(second - first, third - second)
    bend = (third - second) - (second - first)
    noise = 1.4826 * np.median(np.abs(bend - np.median(bend)))
    stuck = (np.abs(last - before) < 0.25 * fastest) & (fastest > 10.0 * noise)
    stuck &= last - first > 0.5 * fastest
    levels = last[stuck]
    if levels.size < 8:
        return None
    middle = float(np.median(levels))
    span = middle - float(np.median(first))
    spread = 1.4826 * float(np.median(np.abs(levels - middle)))
    if spread > 0.05 * abs(span):
        return None  # each at its own level: light that went out, not a full well
    return middle - 4.0 * spread


def _usable(sample: NDArray[Any], level: float | None, end: float) -> NDArray[np.bool_]:
    """Find pixels without a missing read, a read near saturation, or a jump."""
    usable = np.asarray(np.isfinite(sample).all(axis=0))
    if not usable.any():
        return usable
    trusted = end
    if level is not None:
        trusted = level - 0.15 * (level - float(np.median(sample[0][usable])))
    with np.errstate(invalid="ignore"):
        usable &= sample.max(axis=0) < trusted
    if np.count_nonzero(usable) < GROUPS:
        return usable
    usable[usable] = _calm(sample[:, usable])
    return usable


def _calm(ramps: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the ramps (N, P) without a jump between two reads, judged against ramps of about the same signal."""
    calm = np.empty(ramps.shape[1], bool)
    for part in _alike(ramps[-1].astype(np.float64) - ramps[0]):
        bend = np.abs(np.diff(ramps[:, part].astype(_exact(ramps)), n=2, axis=0))
        calm[part] = bend.max(axis=0) < 6.0 * _scale(bend)
    return calm


def _exact(reads: NDArray[Any]) -> Any:
    """Return the float type that holds these reads exactly."""
    return np.float32 if reads.dtype.itemsize <= 2 or reads.dtype == np.float32 else np.float64


def _alike(signal: Floats) -> list[NDArray[np.intp]]:
    """Cut pixels into parts of about the same signal."""
    order = np.argsort(signal, kind="stable")
    return np.array_split(order, max(1, min(32, len(order) // 64)))


def _scale(absolute: NDArray[Any]) -> float:
    """Return the standard deviation of normal noise of which 99 % lies where 99 % of these absolute values lie."""
    return float(np.percentile(absolute, 99.0)) / 2.576


@dataclass(frozen=True)
class _Variances:
    """What the equations need, one number per usable pixel (ADU, ADU^2), and what part of the image it lies in."""

    v1: Floats
    v2: Floats
    vk: Floats
    mean: Floats
    around: Floats
    group: NDArray[np.intp]
    window: int
    blocks: int


def _photon_transfer(
    sample: NDArray[Any], usable: NDArray[np.bool_], level: float | None, known_gain: float | None, rounded: bool
) -> Calibration:
    """Solve V1, V2 and Vk for gain and read noise."""
    seen = _variances(sample, usable)
    gain, gain_error, reason = _gain(seen, len(sample))
    noise, error = _squared_noise(seen, known_gain or gain, 0.0 if known_gain else gain_error or 0.0)
    read_noise = float(np.sqrt(max(noise - (1.0 / 12.0 if rounded else 0.0), 0.0)))
    read_error = error / (2 * read_noise) if read_noise else float(np.sqrt(error))
    return Calibration(gain, gain_error, read_noise, read_error, level, seen.window, reason)


def _variances(sample: NDArray[Any], usable: NDArray[np.bool_]) -> _Variances:
    """Return V1, V2 and Vk per pixel."""
    n_reads = len(sample)
    window = min(LONGEST_WINDOW, n_reads // 2 - 1)
    starts = range(0, n_reads - window, window + 1)
    blocks = np.diff(np.stack([_change(sample, start, start + window) for start in starts]), axis=0)
    slope = _change(sample, 0, n_reads - 1) / (n_reads - 1)
    # Steps too small for the test on neighbouring reads show between long windows.
    calm = np.empty(int(np.count_nonzero(usable)), bool)
    for part in _alike(slope[usable].astype(np.float64)):
        between = np.abs(blocks[:, usable][:, part])
        calm[part] = between.max(axis=0) < 4.5 * _scale(between)
    usable = usable.copy()
    usable[usable] = calm
    v1, v2 = _near_variances(sample[:, usable])
    # Bright pixels tell the gain, dark ones the read noise. The weight is the mean of the neighbourhood: a pixel's own
    # noise would appear on both sides.
    around = np.clip(ndimage.uniform_filter(slope, 9, mode="reflect")[usable].astype(np.float64), 0.0, None)
    count = int(np.count_nonzero(usable))
    return _Variances(
        v1=v1,
        v2=v2,
        vk=_half_square(blocks[:, usable]),
        mean=slope[usable].astype(np.float64),
        around=around,
        group=(np.arange(count) * GROUPS) // max(count, 1),
        window=window,
        blocks=len(blocks),
    )


def _gain(seen: _Variances, n_reads: int) -> tuple[float | None, float | None, str]:
    """Return gain and error, or None, None and why."""
    if seen.window < 2:
        return None, None, f"{n_reads} reads are too few to measure it, 6 are needed"
    light = seen.around * (seen.window - 1) * seen.mean
    inverse, error = _ratio(seen.around * (seen.vk - seen.v2), light, seen.group)
    # The parts of the image scatter too little where a few bright spots decide: at least the error of a variance.
    part = 2.0 / seen.blocks
    spread = float(np.sqrt(np.sum((seen.around * seen.vk) ** 2) * part / (1.0 + part)))
    error = max(error, spread / max(float(light.sum()), 1e-30))
    if not inverse > 0.0 or error > WORST_ERROR * inverse:
        return None, None, f"too little light to measure it: 1/g = {inverse:.2g} +- {error:.2g} ADU/e-"
    return 1.0 / inverse, error / inverse**2, ""


def _squared_noise(seen: _Variances, gain: float | None, gain_error: float) -> tuple[float, float]:
    """Return the squared read noise [ADU^2] and its error, the surer of two ways."""
    noise, error = _ratio(seen.v1 - seen.v2, np.ones(seen.mean.size), seen.group)
    if gain is None:
        return noise, error
    # With the gain the shot noise is known, and V1 alone tells the read noise, best in dark pixels.
    dark = 1.0 / (1.0 + seen.around / (gain * max(noise, 0.01))) ** 2
    second, scatter = _ratio(dark * (seen.v1 - seen.mean / gain) / 3.0, dark, seen.group)
    of_gain = float((dark * seen.mean).sum() / dark.sum()) * gain_error / gain**2 / 3.0
    return (second, float(np.hypot(scatter, of_gain))) if np.hypot(scatter, of_gain) < error else (noise, error)


def _change(sample: NDArray[Any], early: int, late: int) -> NDArray[np.float32]:
    """Return read `late` minus read `early`, subtracted before it is rounded to float32."""
    return np.asarray(sample[late].astype(np.float64) - sample[early], np.float32)


def _near_variances(ramps: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return V1 and V2 of ramps (N, P); some thousand pixels at a time, which bounds the memory."""
    v1, v2 = np.empty(ramps.shape[1]), np.empty(ramps.shape[1])
    for start in range(0, ramps.shape[1], 4096):
        part = slice(start, start + 4096)
        values = ramps[:, part].astype(_exact(ramps))
        rises = np.diff(values - values[0], axis=0)
        v1[part] = _half_square(rises[:-1] - rises[1:])
        v2[part] = _half_square(rises[:-2] - rises[2:])
    return v1, v2


def _half_square(changes: NDArray[np.floating]) -> Floats:
    """Return half the mean square of changes (n, P) per pixel; drift, which all pixels share, is taken off."""
    changes = changes - np.median(changes, axis=1, keepdims=True)
    return np.asarray(np.einsum("ip,ip->p", changes, changes, dtype=np.float64) / (2.0 * len(changes)))


def _ratio(top: Floats, bottom: Floats, group: NDArray[np.intp]) -> tuple[float, float]:
    """Return sum(top) / sum(bottom) and its standard error, by leaving out one part of the image after the other."""
    tops, bottoms = np.bincount(group, top), np.bincount(group, bottom)
    value = tops.sum() / bottoms.sum() if bottoms.sum() > 0 else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        without = (tops.sum() - tops) / (bottoms.sum() - bottoms)
    return float(value), float(np.sqrt((len(tops) - 1) * np.var(without)))


@dataclass(frozen=True)
class KnownCamera:
    """A camera whose gain and read noise are known, one way or the other.

    Parameters
    ----------
    camera
        With gain and read noise.
    gain_known
        Whether the gain was given or measured; if not it is taken as 1, and results are honest in ADU only.
    saturation_adu
        Level where ramps were seen to stop rising, where the full well is unknown; None: none seen, or not needed.
    notes
        A sentence for each value that was not given.
    """

    camera: Camera
    gain_known: bool
    saturation_adu: float | None
    notes: tuple[str, ...]


def complete_camera(
    reads: Reads | NDArray[Any], camera: Camera, *, first: int = 0, last: int | None = None
) -> KnownCamera:
    """Fill in the gain and the read noise a camera lacks, from the ramp, and say what was done.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    camera
        What is known.
    first, last
        Reads used, ``reads[first:last]``, from 0.

    Raises
    ------
    InputError
        When something is missing and the ramp cannot tell it, see `calibrate`.
    """
    stack = as_reads(reads)
    gain, noise = camera.gain_e_per_adu, camera.read_noise_e
    if gain is not None and noise is not None:
        seen = None
        if camera.full_well_e is None:
            seen = find_saturation(_sample(stack, *check_range(len(stack), first, last)))
        return KnownCamera(camera, True, seen, _saturation_note(seen))
    measured = calibrate(stack, first=first, last=last, gain_e_per_adu=gain)
    known, notes = True, []
    if gain is None:
        gain, known = measured.gain_e_per_adu or 1.0, measured.gain_e_per_adu is not None
        if known:
            notes.append(f"gain measured from the ramp: {gain:.4g} +- {measured.gain_error:.2g} e-/ADU")
        else:
            notes.append(f"gain unknown, taken as 1 e-/ADU ({measured.reason}); --gain-e-per-adu sets it")
            measured = calibrate(stack, first=first, last=last, gain_e_per_adu=gain)
    if noise is None:
        noise = measured.read_noise_adu * gain
        notes.append(
            f"read noise measured from the ramp: {noise:.4g} +- {measured.read_noise_error * gain:.2g} e- rms per read"
        )
    seen = measured.saturation_adu if camera.full_well_e is None else None
    complete = replace(camera, gain_e_per_adu=gain, read_noise_e=noise)
    return KnownCamera(complete, known, seen, (*notes, *_saturation_note(seen)))


def _saturation_note(level: float | None) -> tuple[str, ...]:
    return () if level is None else (f"ramps stop rising at about {level:.0f} ADU: taken as the saturation level",)
