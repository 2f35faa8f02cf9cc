"""Gain and read noise of a camera from one ramp, with no flat and no dark exposure.

Along a ramp shot noise is white and read noise is not, and the variance of the shot noise is the mean signal over the
gain (`noise_spectrum`): bright pixels tell the gain, all pixels tell the read noise. Rounding to whole ADU adds 1/12
ADU^2 to the squared read noise, which is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..camera import Camera
from ..errors import InputError
from .noise_spectrum import Common, Separation, power, separate
from .reads import Reads, as_reads, check_range

SAMPLES = 2**24
"""Reads x pixels that are looked at; rows are left out evenly where there are more."""

LONGEST_WINDOW = 16
"""Sub-frames in the windows that are compared to find ramps that jump."""

SHORTEST = 6
"""Reads that a gain needs."""

GROUPS = 16
"""Parts of the image whose scatter gives the errors."""

ROUNDING = 1.0 / 12.0
"""Variance that rounding to whole ADU adds to every read [ADU^2]."""

WORST_ERROR = 0.1
"""A gain less certain than this (relative) is no measurement: rates in ADU are better than wrong electrons."""

MOST_LEVERAGE, MOST_TRIMS = 0.05, 8
"""A pixel so much brighter than all others (a hot one) that what all share is fitted to its own noise is left out."""

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
    reason
        Why there is no gain; empty when there is.
    trusted_adu
        Level up to which reads were used, ADU.
    """

    gain_e_per_adu: float | None
    gain_error: float | None
    read_noise_adu: float
    read_noise_error: float
    saturation_adu: float | None
    reason: str = ""
    trusted_adu: float = np.inf

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
    prepared = prepare(reads, first, last)
    return solve(prepared, look(prepared.sample, prepared.usable), gain_e_per_adu)


@dataclass(frozen=True)
class Prepared:
    """The part of a ramp that is looked at.

    Parameters
    ----------
    sample
        Rows of the reads, shape (N, rows, X), ADU.
    usable
        Pixels with a whole ramp that does not jump, shape (rows, X).
    level
        Level at which ramps stop rising [ADU]; None when none do.
    trusted
        Level up to which reads are used, ADU.
    rounded
        Whether reads are whole numbers.
    """

    sample: NDArray[Any]
    usable: NDArray[np.bool_]
    level: float | None
    trusted: float
    rounded: bool


def prepare(reads: Reads | NDArray[Any], first: int = 0, last: int | None = None) -> Prepared:
    """Take a sample of rows and find its usable pixels; raises as `calibrate` does."""
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
    trusted = float(np.iinfo(stack.stored).max) if stack.stored.kind in "ui" else np.inf
    if level is not None:
        whole = np.isfinite(sample).all(axis=0)
        trusted = level - 0.15 * (level - float(np.median(sample[0][whole])))
    usable = _usable(sample, trusted)
    if np.count_nonzero(usable) < GROUPS:
        raise InputError(
            f"only {np.count_nonzero(usable)} of {usable.size} pixels have a whole, finite, unsaturated ramp: too few "
            "to measure the read noise; give --read-noise-e and --gain-e-per-adu, or --last to use fewer reads"
        )
    return Prepared(sample, usable, level, trusted, stack.stored.kind in "ui")


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


def _usable(sample: NDArray[Any], trusted: float) -> NDArray[np.bool_]:
    """Find pixels without a missing read, a read near saturation, or a jump."""
    usable = np.asarray(np.isfinite(sample).all(axis=0))
    with np.errstate(invalid="ignore"):
        usable &= sample.max(axis=0) < trusted
    if np.count_nonzero(usable) < GROUPS:
        return usable
    usable[usable] = _calm(sample[:, usable])
    return usable


def _calm(ramps: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the ramps (N, P) without a jump between two reads, judged against ramps of about the same signal."""
    calm = np.empty(ramps.shape[1], bool)
    for part in alike(ramps[-1].astype(np.float64) - ramps[0]):
        bend = np.abs(np.diff(ramps[:, part].astype(_exact(ramps)), n=2, axis=0))
        calm[part] = bend.max(axis=0) < 6.0 * _scale(bend)
    return calm


def _exact(reads: NDArray[Any]) -> Any:
    """Return the float type that holds these reads exactly."""
    return np.float32 if reads.dtype.itemsize <= 2 or reads.dtype == np.float32 else np.float64


def alike(signal: Floats) -> list[NDArray[np.intp]]:
    """Cut pixels into parts of about the same signal."""
    order = np.argsort(signal, kind="stable")
    return np.array_split(order, max(1, min(32, len(order) // 64)))


def _scale(absolute: NDArray[Any]) -> float:
    """Return the standard deviation of normal noise of which 99 % lies where 99 % of these absolute values lie."""
    return float(np.percentile(absolute, 99.0)) / 2.576


@dataclass(frozen=True)
class Seen:
    """The pixels that can be used and the spectra of their ramps.

    Parameters
    ----------
    usable
        Which pixels of the sample, shape (rows, X).
    mean
        Mean difference of each usable pixel, shape (P,), ADU.
    light
        The same with its noise taken out as far as the neighbours tell, shape (P,), ADU.
    common
        What all ramps share.
    spectrum
        Power of each ramp, shape (N - 2, P), ADU^2.
    """

    usable: NDArray[np.bool_]
    mean: Floats
    light: Floats
    common: Common
    spectrum: NDArray[np.float32]

    @property
    def group(self) -> NDArray[np.intp]:
        """What part of the image each pixel lies in."""
        return (np.arange(self.mean.size) * GROUPS) // max(self.mean.size, 1)


def look(sample: NDArray[Any], usable: NDArray[np.bool_]) -> Seen:
    """Leave out the ramps that jump by less than `_calm` sees, and transform the others.

    Parameters
    ----------
    sample
        Reads, shape (N, rows, X), ADU.
    usable
        Pixels with a whole ramp, shape (rows, X).
    """
    n_reads = len(sample)
    slope = _change(sample, 0, n_reads - 1) / (n_reads - 1)
    window = min(LONGEST_WINDOW, n_reads // 2 - 1)
    starts = range(0, n_reads - window, window + 1)
    blocks = np.diff(np.stack([_change(sample, start, start + window)[usable] for start in starts]), axis=0)
    blocks -= np.median(blocks, axis=1, keepdims=True)
    calm = np.empty(blocks.shape[1], bool)
    for part in alike(slope[usable].astype(np.float64)):
        between = np.abs(blocks[:, part])
        calm[part] = between.max(axis=0) < 4.5 * _scale(between)
    usable = usable.copy()
    usable[usable] = calm
    del blocks
    ramps, mean = sample[:, usable], slope[usable].astype(np.float64)
    some = slice(None, None, max(1, mean.size // 4096))
    dark = np.zeros_like(mean[some])
    light = _light(slope, usable, power(ramps[:, some], dark, Common.of(ramps[:, some], dark)))
    common = Common.of(ramps, light)
    for _ in range(MOST_TRIMS):
        keep = common.leverage(light) <= max(MOST_LEVERAGE, 12.0 / light.size)
        if keep.all():
            break
        usable[usable] = keep
        mean, light = mean[keep], light[keep]
        del ramps  # before the next is made: never two at once
        ramps = sample[:, usable]
        common = Common.of(ramps, light)
    return Seen(usable, mean, light, common, power(ramps, light, common))


def _light(slope: NDArray[np.floating], usable: NDArray[np.bool_], spectrum: NDArray[np.float32]) -> Floats:
    shot, read = separate(spectrum.mean(axis=1, dtype=np.float64))
    n, level = len(spectrum) + 1, max(float(slope[usable].mean()), 1e-12)
    return smooth_light(slope, usable, shot / level / n, 2.0 * read / n**2)[usable]


def smooth_light(slope: NDArray[np.float32], usable: NDArray[np.bool_], per_light: float, constant: float) -> Floats:
    """Return the mean difference pulled towards that of the neighbours, the more the less these differ beyond noise.

    A weight made from a pixel's own noise would follow that noise.

    Parameters
    ----------
    slope
        Mean difference, shape (Y, X), ADU.
    usable
        Pixels that count as neighbours, shape (Y, X).
    per_light, constant
        Variance of `slope`: ``per_light * slope + constant``.
    """
    filled = np.where(usable, slope, 0.0)
    share = np.maximum(ndimage.uniform_filter(usable.astype(np.float32), 9, mode="reflect"), 1e-6)
    around = ndimage.uniform_filter(filled, 9, mode="reflect") / share
    away = np.where(usable, np.square(slope - around), 0.0)
    scatter = ndimage.uniform_filter(away, 9, mode="reflect") / share
    noise = per_light * np.maximum(around, 0.0) + constant
    keep = np.clip(1.0 - noise / np.maximum(scatter, 1e-12), 0.0, 1.0)
    return np.asarray(np.maximum(around + keep * (slope - around), 0.0), np.float64)


def solve(prepared: Prepared, seen: Seen, known_gain: float | None) -> Calibration:
    """Solve the spectra for gain and read noise."""
    gain, gain_error, reason = measure_gain(seen)
    noise, error = _squared_noise(seen, known_gain or gain, 0.0 if known_gain else gain_error or 0.0)
    read_noise = float(np.sqrt(max(noise - (ROUNDING if prepared.rounded else 0.0), 0.0)))
    read_error = error / (2 * read_noise) if read_noise else float(np.sqrt(error))
    return Calibration(gain, gain_error, read_noise, read_error, prepared.level, reason, prepared.trusted)


def neighbours(seen: Seen) -> Floats:
    """Return the mean difference of the pixels around each usable one, without its own, shape (P,), ADU, 0 or more.

    The gain is weighted by it: weights with a pixel's own noise in them would follow that noise, and since read noise
    is part of it the mean would rise with them and the shot noise not (at 0.1 e- a read and 5 e- of read noise 1 %).
    """
    plane = np.zeros(seen.usable.shape)
    plane[seen.usable] = seen.mean
    side = 5
    total, count = (
        ndimage.uniform_filter(values, side, mode="constant") * side**2 - values
        for values in (plane, seen.usable.astype(np.float64))
    )
    return np.asarray(np.maximum(total / np.maximum(count, 1.0), 0.0)[seen.usable])


def measure_gain(seen: Seen) -> tuple[float | None, float | None, str]:
    """Return gain [e-/ADU] and its error, or None, None and why."""
    n = len(seen.spectrum) + 1
    if n + 1 < SHORTEST:
        return None, None, f"{n + 1} reads are too few to measure it, {SHORTEST} are needed"
    shot, read = separate(seen.spectrum.mean(axis=1, dtype=np.float64))
    per_light = shot / max(float(seen.mean.mean()), 1e-12)
    noise, trust, normal = np.empty(seen.mean.size), np.empty(seen.mean.size), 0.0
    around = neighbours(seen)
    for part in alike(around):
        weights = Separation.of(n, per_light * float(around[part].mean()), read)
        variance = max(float(weights.covariance[0, 0]), 1e-30)
        noise[part] = weights.shot.astype(np.float32) @ seen.spectrum[:, part]
        trust[part] = around[part] / variance
        normal += float(np.sum(trust[part] ** 2)) * variance
    inverse, error = ratio(trust * noise, trust * seen.mean, seen.group)
    # The parts of the image scatter too little where a few bright spots decide: at least the error of normal noise.
    error = max(error, float(np.sqrt(normal)) / max(float(trust @ seen.mean), 1e-30))
    if not inverse > 0.0 or error > WORST_ERROR * inverse:
        return None, None, f"too little light to measure it: 1/g = {inverse:.2g} +- {error:.2g} ADU/e-"
    return 1.0 / inverse, float(error / inverse**2), ""


def _squared_noise(seen: Seen, gain: float | None, gain_error: float) -> tuple[float, float]:
    """Return the squared read noise [ADU^2] and its error, the surer of two ways."""
    n = len(seen.spectrum) + 1
    shot, read = separate(seen.spectrum.mean(axis=1, dtype=np.float64))
    alone = Separation.of(n, shot, read).read.astype(np.float32) @ seen.spectrum
    noise, error = ratio(alone.astype(np.float64), np.ones(seen.mean.size), seen.group)
    if gain is None:
        return noise, error
    # With the gain the shot noise is known, and the whole spectrum tells the read noise, best in dark pixels.
    values, variance = known_shot_noise(seen, gain, max(noise, 0.01))
    trust = 1.0 / variance
    second, scatter = ratio(trust * values, trust, seen.group)
    of_gain = float((trust * seen.mean).sum() / trust.sum()) * gain_error / gain**2 / 2.0
    return (second, float(np.hypot(scatter, of_gain))) if np.hypot(scatter, of_gain) < error else (noise, error)


def known_shot_noise(seen: Seen, gain: float, read: float) -> tuple[Floats, Floats]:
    """Return the squared read noise of each usable pixel [ADU^2] and the variance of that number."""
    n = len(seen.spectrum) + 1
    values, variance = np.empty(seen.mean.size), np.empty(seen.mean.size)
    for part in alike(seen.light):
        weights = Separation.of(n, float(seen.light[part].mean()) / gain, read)
        alone = weights.read_alone
        values[part] = alone.astype(np.float32) @ seen.spectrum[:, part] - alone.sum() * seen.mean[part] / gain
        variance[part] = weights.read_alone_variance
    return values, variance


def _change(sample: NDArray[Any], early: int, late: int) -> NDArray[np.float32]:
    """Return read `late` minus read `early`, subtracted before it is rounded to float32."""
    return np.asarray(sample[late].astype(np.float64) - sample[early], np.float32)


def ratio(top: Floats, bottom: Floats, group: NDArray[np.intp]) -> tuple[float, float]:
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
