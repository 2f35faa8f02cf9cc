"""Gain and read noise of a camera from one ramp, with no flat and no dark exposure.

With the adjacent differences d_i of one ramp in ADU, gain g [e-/ADU], flux f and read noise s [e-]:

- ``V1 = <(d_i - d_{i+1})^2> / 2 = (f + 3 s^2) / g^2``
- ``V2 = <(d_i - d_{i+2})^2> / 2 = (f + 2 s^2) / g^2``, so ``s^2 / g^2 = V1 - V2``
- for guarded windows of k sub-frames ``Vk = (k f + 2 s^2) / g^2``, so ``1/g = sum (Vk - V2) / ((k - 1) sum mean d)``

The pixel's own signal cancels in every one of these differences, so structure, offset and kTC noise do no harm. Rounding
to whole ADU adds 1/12 ADU^2 to the read noise, which is taken off.
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
        When all reads are equal, fewer than 4 reads are given (noise cannot be told from signal), or no pixel is usable.
    """
    stack = as_reads(reads)
    first, last = check_range(len(stack), first, last)
    sample = _sample(stack, first, last)
    if sample.size and float(np.nanmin(sample)) == float(np.nanmax(sample)):
        raise InputError(
            f"all reads are equal (value {float(np.nanmin(sample)):g}): nothing was collected, nothing can be fitted; "
            "is this the exposure file?"
        )
    if last - first < 4:
        raise InputError(
            f"the read noise cannot be measured from {last - first} reads (4 are needed); give --read-noise-e and "
            "--gain-e-per-adu"
        )
    level = find_saturation(sample)
    usable = _usable(sample, level)
    if np.count_nonzero(usable) < GROUPS:
        raise InputError(
            f"only {np.count_nonzero(usable)} of {usable.size} pixels have a whole, finite, unsaturated ramp: too few "
            "to measure the read noise; give --read-noise-e and --gain-e-per-adu, or --last to use fewer reads"
        )
    return _photon_transfer(sample, usable, level, gain_e_per_adu, rounded=stack.dtype.kind in "ui")


def _sample(stack: Reads, first: int, last: int) -> NDArray[np.float32]:
    """Return rows of the reads, evenly spread, at most `SAMPLES` values, shape (N, rows, X)."""
    _, height, width = stack.shape
    step = max(1, -(-(last - first) * height * width // SAMPLES))
    sample = np.empty((last - first, -(-height // step), width), np.float32)
    for position, plane in enumerate(stack.planes(first, last)):
        sample[position] = plane[::step]
    return sample


def find_saturation(sample: NDArray[np.float32]) -> float | None:
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
    with np.errstate(invalid="ignore"):
        rises = np.diff(sample, axis=0)
        fastest = np.maximum(rises[0], rises[1])
        noise = 1.4826 * np.nanmedian(np.abs(rises[1] - rises[0] - np.nanmedian(rises[1] - rises[0])))
        stuck = (np.abs(rises[-1]) < 0.25 * fastest) & (fastest > 10.0 * noise)
        stuck &= sample[-1] - sample[0] > 0.5 * fastest
    levels = sample[-1][stuck]
    if levels.size < 8:
        return None
    middle = float(np.median(levels))
    span = middle - float(np.median(sample[0]))
    spread = 1.4826 * float(np.median(np.abs(levels - middle)))
    if spread > 0.05 * abs(span):
        return None  # each at its own level: light that went out, not a full well
    return middle - 4.0 * spread


def _usable(sample: NDArray[np.float32], level: float | None) -> NDArray[np.bool_]:
    """Find pixels without a missing read, a read near saturation, or a jump."""
    usable: NDArray[np.bool_] = np.isfinite(sample).all(axis=0)
    top = sample.max(axis=0)
    usable &= top < (np.iinfo(np.uint16).max if level is None else level - 0.15 * (level - np.median(sample[0])))
    if np.count_nonzero(usable) < GROUPS:
        return usable
    bend = np.diff(sample, n=2, axis=0)
    scale = _scale_by_signal(bend[:, usable], (sample[-1] - sample[0])[usable])
    usable[usable] = np.abs(bend[:, usable]).max(axis=0) < 6.0 * scale
    return usable


def _scale_by_signal(bend: NDArray[np.float32], signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scatter of `bend` (n, P) for pixels of about the same signal (P,): 99 % of it lies within 2.576."""
    order = np.argsort(signal, kind="stable")
    scale = np.empty(len(signal), np.float32)
    for part in np.array_split(order, max(1, min(32, len(order) // 64))):
        scale[part] = np.percentile(np.abs(bend[:, part]), 99.0) / 2.576
    return scale


def _photon_transfer(
    sample: NDArray[np.float32],
    usable: NDArray[np.bool_],
    level: float | None,
    known_gain: float | None,
    *,
    rounded: bool,
) -> Calibration:
    """Solve V1, V2 and Vk for read noise and gain; errors from the scatter between parts of the image."""
    n_reads = len(sample)
    window = min(LONGEST_WINDOW, n_reads // 2 - 1)
    blocks = np.stack([sample[start + window] - sample[start] for start in range(0, n_reads - window, window + 1)])
    blocks = np.diff(blocks, axis=0)
    # Steps too small for the test on neighbouring reads show between long windows.
    scale = _scale_by_signal(blocks[:, usable], (sample[-1] - sample[0])[usable])
    usable = usable.copy()
    usable[usable] = np.abs(blocks[:, usable]).max(axis=0) < 4.5 * scale
    rises = np.diff(sample, axis=0)
    v1 = _half_square(rises[:-1] - rises[1:], usable)
    v2 = _half_square(rises[:-2] - rises[2:], usable)
    vk = _half_square(blocks, usable)
    slope = (sample[-1] - sample[0]) / (n_reads - 1)
    mean = slope[usable].astype(np.float64)
    # Bright pixels tell the gain, dark ones the read noise. The weight is the mean of the neighbourhood: a pixel's own
    # noise would appear on both sides.
    around = np.clip(ndimage.uniform_filter(slope, 9, mode="reflect")[usable].astype(np.float64), 0.0, None)
    group = (np.arange(mean.size) * GROUPS) // mean.size
    gain = gain_error = None
    reason = f"{n_reads} reads are too few to measure it, 6 are needed"
    if window >= 2:
        inverse, error = _ratio(around * (vk - v2), around * (window - 1) * mean, group)
        # The parts of the image scatter too little where a few bright spots decide: at least the error of a variance.
        part = 2.0 / len(blocks)
        spread = float(np.sqrt(np.sum((around * vk) ** 2) * part / (1.0 + part)))
        error = max(error, spread / max(float(np.sum(around * (window - 1) * mean)), 1e-30))
        reason = f"too little light to measure it: 1/g = {inverse:.2g} +- {error:.2g} ADU/e-"
        if inverse > 0.0 and error <= WORST_ERROR * inverse:
            gain, gain_error, reason = 1.0 / inverse, error / inverse**2, ""
    noise, noise_error = _ratio(v1 - v2, np.ones(mean.size), group)
    trusted = known_gain or gain
    if trusted:  # with the gain the shot noise is known, and V1 alone tells the read noise, best in dark pixels
        dark = 1.0 / (1.0 + around / (trusted * max(noise, 0.01))) ** 2
        second, error = _ratio(dark * (v1 - mean / trusted) / 3.0, dark, group)
        of_gain = (
            0.0 if known_gain else float((dark * mean).sum() / dark.sum()) * (gain_error or 0.0) / trusted**2 / 3.0
        )
        if np.hypot(error, of_gain) < noise_error:
            noise, noise_error = second, float(np.hypot(error, of_gain))
    read_noise = float(np.sqrt(max(noise - (1.0 / 12.0 if rounded else 0.0), 0.0)))
    read_error = noise_error / (2 * read_noise) if read_noise else float(np.sqrt(noise_error))
    return Calibration(gain, gain_error, read_noise, read_error, level, window, reason)


def _half_square(changes: NDArray[np.float32], usable: NDArray[np.bool_]) -> Floats:
    """Return half the mean square of changes (n, rows, X) per usable pixel; what all pixels share (drift) is taken off."""
    selected = changes[:, usable]
    selected -= np.median(selected, axis=1, keepdims=True)
    return np.asarray(np.einsum("ip,ip->p", selected, selected, dtype=np.float64) / (2.0 * len(selected)))


def _ratio(top: Floats, bottom: Floats, group: NDArray[np.intp]) -> tuple[float, float]:
    """Return sum(top) / sum(bottom) and its standard error, by leaving out one part of the image after the other."""
    tops, bottoms = np.bincount(group, top), np.bincount(group, bottom)
    value = tops.sum() / bottoms.sum() if bottoms.sum() > 0 else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        without = (tops.sum() - tops) / (bottoms.sum() - bottoms)
    return float(value), float(np.sqrt((len(tops) - 1) * np.var(without)))


def complete_camera(
    reads: Reads | NDArray[Any], camera: Camera, *, first: int = 0, last: int | None = None
) -> tuple[Camera, tuple[str, ...], float | None]:
    """Fill in the gain and the read noise a camera lacks, from the ramp, and say what was done.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    camera
        What is known.
    first, last
        Reads used, from 0, `last` excluded.

    Returns
    -------
    camera : Camera
        With gain and read noise.
    notes : tuple of str
        A sentence for each value that was not given.
    saturation_adu : float or None
        Level where ramps were seen to stop rising, where the full well is unknown.
    """
    stack = as_reads(reads)
    known_noise = camera.read_noise_e is not None and camera.gain_e_per_adu is not None
    if known_noise and camera.full_well_e is not None:
        return camera, (), None
    notes: list[str] = []
    if known_noise:
        sample = _sample(stack, *check_range(len(stack), first, last))
        return camera, (), find_saturation(sample)
    measured = calibrate(stack, first=first, last=last, gain_e_per_adu=camera.gain_e_per_adu)
    if camera.gain_e_per_adu is None:
        if measured.gain_e_per_adu is not None:
            camera = replace(camera, gain_e_per_adu=measured.gain_e_per_adu)
            notes.append(
                f"gain measured from the ramp: {measured.gain_e_per_adu:.4g} +- {measured.gain_error:.2g} e-/ADU"
            )
        else:
            camera = replace(camera, gain_e_per_adu=1.0)
            measured = calibrate(stack, first=first, last=last, gain_e_per_adu=1.0)
            notes.append(f"gain unknown, taken as 1 e-/ADU ({measured.reason}); --gain-e-per-adu sets it")
    gain = camera.gain_e_per_adu or 1.0
    if camera.read_noise_e is None:
        noise = measured.read_noise_adu * gain
        camera = replace(camera, read_noise_e=noise)
        error = measured.read_noise_error * gain
        notes.append(f"read noise measured from the ramp: {noise:.4g} +- {error:.2g} e- rms per read")
    level = measured.saturation_adu if camera.full_well_e is None else None
    if level is not None:
        notes.append(f"ramps stop rising at about {level:.0f} ADU: taken as the saturation level")
    return camera, tuple(notes), level
