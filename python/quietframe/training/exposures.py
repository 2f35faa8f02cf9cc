"""An exposure becomes training pictures: differences or fits of windows of its reads, in electrons.

Windows of one length are one stack. With a guard sub-frame between them they share neither photons nor reads, so any
two are a Noise2Noise pair; abutting ones share a read, and a net trained on such pairs learns to return minus the
noise: they are refused (see `quietframe.ndr.pairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import InputError, OptionError
from ..ndr.pairs import PairRequest, guarded_windows, make_pairs, noise_correlation
from ..ndr.quality import BORDER_KEY, border_of
from ..ndr.reads import check_range
from ..ndr.split import split_halves
from ..ndr.subtract import Window
from ..progress import Progress, silent
from .stacks import Members, Stack
from .statistics import NoiseLevel

if TYPE_CHECKING:  # these take seconds to import, which pictures that are no exposures must not cost
    from ..ndr.calibrate import KnownCamera
    from ..ndr.exposure import Exposure
    from ..ndr.fit import RampFit
    from ..ndr.light import LightCurve

Hold = Callable[[Path, NDArray[np.intp]], Stack]


@dataclass(frozen=True)
class ExposureRequest:
    """How exposures become training pictures; reads count from 1, both ends included.

    Parameters
    ----------
    difference
        Sub-frames K of a window, several for windows of several lengths.
    fit
        Whether a picture is the fit of all reads of a window, and not the difference of its last and first. Without
        `difference` the window is the whole exposure, or each of its halves where repeats are needed.
    camera
        What is known of the camera; the rest is measured from the ramp.
    guard
        Sub-frames left out between windows.
    first, last
        Reads used; None: from the first valid one to the end.
    """

    difference: tuple[int, ...] = ()
    fit: bool = False
    camera: Camera = field(default_factory=Camera)
    guard: int = 1
    first: int | None = None
    last: int | None = None

    def check(self, data: str) -> None:
        """Raise an OptionError for what cannot work."""
        if self.difference and min(self.difference) < 1:
            raise OptionError(f"difference must be 1 or more sub-frames; got {min(self.difference)}")
        if len(set(self.difference)) < len(self.difference):
            raise OptionError(f"--difference {' '.join(map(str, self.difference))}: name each number once")
        if data == "pairs" and not self.difference:
            raise OptionError("a method that learns from pairs needs --difference K: the inputs are differences of K")
        if data == "pairs" and self.fit:
            raise OptionError("--fit goes with methods that learn from noisy pictures alone; leave it or --target out")


@dataclass(frozen=True)
class Made:
    """Training pictures made of one exposure.

    Parameters
    ----------
    names, stacks, targets
        For each length of window a stack (windows, 1, Y, X), and its target for methods that learn from pairs.
    noise
        Noise of a source; None where the gain is unknown.
    unit
        ``electrons`` or, where the gain is unknown, ``adu``.
    notes
        What was taken for granted or measured.
    windows
        Windows (a, b) of each stack, from 0.
    """

    names: tuple[str, ...]
    stacks: tuple[Stack, ...]
    targets: tuple[Stack, ...] | None
    noise: NoiseLevel | None
    unit: str
    notes: tuple[str, ...]
    windows: tuple[tuple[Window, ...], ...]


class Differences:
    """Differences of reads as a stack (windows, 1, Y, X), float32, worked out where they are asked for.

    Parameters
    ----------
    reads
        Stack (N, 1, Y, X) [ADU].
    windows
        Pairs (a, b): read b - read a.
    factors
        What each difference is multiplied with.
    border
        Width of the border that is left out [px].
    """

    def __init__(self, reads: Stack, windows: Sequence[Window], factors: Sequence[float], border: int = 0) -> None:
        self._reads, self._windows, self._factors, self._border = reads, list(windows), list(factors), border
        inner = (size - 2 * border for size in reads.shape[-2:])
        self.shape: tuple[int, ...] = (len(self._windows), 1, *inner)
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        wide = reads.dtype.itemsize > 2 and reads.dtype != np.float32
        self._exact = np.float64 if wide else np.float32  # subtract before rounding, not after

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        first, *rest = index if isinstance(index, tuple) else (index,)
        rest += [slice(None)] * (3 - len(rest))
        for axis in (1, 2):
            start, stop, _ = rest[axis].indices(self.shape[1 + axis])
            rest[axis] = slice(start + self._border, stop + self._border)
        if isinstance(first, slice):
            return np.stack([self._one(number, rest) for number in range(self.shape[0])[first]])
        return self._one(int(first), rest)

    def _one(self, number: int, rest: Sequence[Any]) -> NDArray[np.float32]:
        a, b = self._windows[number]
        with np.errstate(invalid="ignore", over="ignore"):
            rise = np.subtract(self._reads[(b, *rest)], self._reads[(a, *rest)], dtype=self._exact)
            return np.asarray(rise * self._exact(self._factors[number]), np.float32)


@dataclass(frozen=True)
class _Source:
    """An open exposure with what all ways need of it; reads ``[first, last)`` from 0."""

    exposure: Exposure
    reads: Stack
    known: KnownCamera
    light: LightCurve
    first: int
    last: int
    border: int
    full_adu: float
    guard: int
    progress: Progress

    @property
    def gain(self) -> float:
        """e-/ADU; 1 where it is unknown: pictures are then in ADU."""
        return self.known.camera.gain_e_per_adu or 1.0

    @property
    def read_noise_e(self) -> float:
        """Read noise of one read."""
        return self.known.camera.read_noise_e or 0.0

    def factors(self, windows: Sequence[Window]) -> list[float]:
        """Return what brings each window to the mean light of the exposure."""
        return [self.light.factor(window) for window in windows]

    def fit(self, window: Window) -> RampFit:
        """Fit the reads of a window, both ends included."""
        from ..ndr.fit import FitTuning, fit_ramp

        tuning = FitTuning(saturation_adu=self.known.saturation_adu)
        return fit_ramp(
            self.exposure.reads, self.known.camera, first=window[0], last=window[1] + 1, tuning=tuning,
            progress=self.progress,
        )  # fmt: skip

    def inner(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Leave the border of a plane out."""
        return plane[self.border : plane.shape[0] - self.border, self.border : plane.shape[1] - self.border]


def make_training(path: Path, request: ExposureRequest, data: str, hold: Hold, *, progress: Progress = silent) -> Made:
    """Make training pictures of an exposure file.

    Parameters
    ----------
    path
        The exposure.
    request
        How.
    data
        What the method learns from: ``single``, ``repeats``, or ``pairs`` (a difference, and the fit of all reads on
        the other side of the exposure).
    hold
        Gives the planes of a file as a stack (see `reading`).
    progress
        Told of fits.

    Raises
    ------
    InputError, OptionError
        When the file is no exposure, has too few reads, or pairs would share a read.
    """
    from ..ndr.exposure import open_exposure

    request.check(data)
    with open_exposure(path, camera=request.camera) as exposure:
        source = _look(exposure, request, hold, progress)
        if data == "pairs":
            made = _pairs(source, request)
        else:
            made = _fits(source, request, data) if request.fit else _differences(source, request, data)
        return replace(made, notes=(*_notes(source, made), *made.notes))


def _look(exposure: Exposure, request: ExposureRequest, hold: Hold, progress: Progress) -> _Source:
    """Measure what is not known of the camera, and how the light changes."""
    from ..ndr.calibrate import complete_camera
    from ..ndr.fit import saturation_level
    from ..ndr.light import light_curve

    n_reads = len(exposure.reads)
    first = exposure.first_valid if request.first is None else request.first - 1
    first, last = check_range(n_reads, first, request.last)
    known = complete_camera(exposure.reads, exposure.camera, first=first, last=last)
    level = known.saturation_adu or saturation_level(known.camera, 0.85, exposure.reads.dtype)
    light = light_curve(exposure.reads, first=first, last=last, saturation_adu=level)
    border = border_of(exposure.info.get(BORDER_KEY), None, str(exposure.path))
    reads = hold(exposure.path, np.arange(n_reads, dtype=np.intp)[:, np.newaxis])
    level = known.saturation_adu or saturation_level(known.camera, 1.0, exposure.reads.dtype)
    return _Source(exposure, reads, known, light, first, last, border, level, request.guard, progress)


def _differences(source: _Source, request: ExposureRequest, data: str) -> Made:
    """Make a stack of differences for each K."""
    names, stacks, all_windows = [], [], []
    for difference in request.difference:
        windows = _windows(source, difference, data)
        scale = [source.gain * factor for factor in source.factors(windows)]
        stacks.append(Differences(source.reads, windows, scale, source.border))
        names.append(f"{source.exposure.path} (differences of {difference})")
        all_windows.append(tuple(windows))
    factors = np.array([factor for windows in all_windows for factor in source.factors(windows)])
    noise = NoiseLevel(float(factors.mean()), float(2.0 * source.read_noise_e**2 * np.square(factors).mean()))
    made = _made(source, names, stacks, None, noise, all_windows)
    return replace(made, notes=(f"use the model on what ndr subtract --unit {made.unit} makes of an exposure",))


def _fits(source: _Source, request: ExposureRequest, data: str) -> Made:
    """Make a stack of fitted rates for each K, or of the whole exposure or its halves."""
    names, stacks, all_windows, levels = [], [], [], []
    for difference in request.difference or (0,):
        windows = _windows(source, difference, data)
        planes = []
        for window, factor in zip(windows, source.factors(windows), strict=True):
            fit = source.fit(window)
            planes.append(_filled(source.inner(fit.rate)) * np.float32(factor))
            levels.append(_level(source, fit, factor))
        stacks.append(np.stack(planes)[:, np.newaxis])
        what = f"fits of {difference} sub-frames" if difference else "fit of the reads"
        names.append(f"{source.exposure.path} ({what})")
        all_windows.append(tuple(windows))
    noise = NoiseLevel(*(float(value) for value in np.mean(levels, axis=0)))
    scale = 1.0 if source.known.gain_known else 1.0 / source.gain
    made = _made(source, names, [stack * np.float32(scale) for stack in stacks], None, noise, all_windows)
    return replace(made, notes=(f"use the model on what ndr fit --unit {made.unit} makes of an exposure",))


def _pairs(source: _Source, request: ExposureRequest) -> Made:
    """Make a stack of differences for each K, with the fit of the other side of the exposure as target."""
    names, stacks, targets, all_windows = [], [], [], []
    fitted: dict[Window, NDArray[np.float32]] = {}
    for difference in request.difference:
        wanted = PairRequest(difference, "care", request.guard)
        pairs = make_pairs(len(source.exposure.reads), wanted, source.first, source.last)
        for target in sorted(set(pairs.targets) - set(fitted)):
            fitted[target] = _filled(source.inner(source.fit(target).rate)) * np.float32(source.light.factor(target))
        scale = [source.gain * factor for factor in source.factors(pairs.inputs)]
        stacks.append(Differences(source.reads, pairs.inputs, scale, source.border))
        answers = {target: (fitted[target] * np.float32(difference))[np.newaxis, np.newaxis] for target in fitted}
        targets.append(Members([(answers[target], 0) for target in pairs.targets]))
        names.append(f"{source.exposure.path} (differences of {difference})")
        all_windows.append(pairs.inputs)
    noise = NoiseLevel(1.0, 2.0 * source.read_noise_e**2)
    return _made(source, names, stacks, targets, noise, all_windows)


def _made(
    source: _Source,
    names: Sequence[str],
    stacks: Sequence[Stack],
    targets: Sequence[Stack] | None,
    noise: NoiseLevel,
    windows: Sequence[tuple[Window, ...]],
) -> Made:
    known = source.known.gain_known
    answers = None if targets is None else tuple(targets)
    unit = "electrons" if known else "adu"
    return Made(tuple(names), tuple(stacks), answers, noise if known else None, unit, (), tuple(windows))


def _windows(source: _Source, difference: int, data: str) -> list[Window]:
    """Choose the windows of one length; 0: the whole exposure, or its halves where repeats are needed."""
    first, last = source.first, source.last
    if not difference:
        if data == "single":
            return [(first, last - 1)]
        halves = split_halves(len(source.exposure.reads), first, last, guard=source.guard)
        windows = [(a, b - 1) for a, b in (halves.a, halves.b)]
    else:
        windows = guarded_windows(first, last, difference, source.guard)
    if data == "repeats":
        if len(windows) < 2:
            raise InputError(
                f"{source.exposure.path}: difference {difference} fits only once into reads {first + 1} to {last}; a "
                f"pair takes {2 * difference + 1 + source.guard} reads with a guard of {source.guard}: take a smaller "
                "one"
            )
        flux = _typical_flux(source)
        refuse_shared_reads(windows, str(source.exposure.path), flux_e=flux, read_noise_e=source.read_noise_e)
    return windows


def refuse_shared_reads(
    windows: Sequence[Window], name: str, *, flux_e: float | None = None, read_noise_e: float | None = None
) -> None:
    """Refuse windows of which two share a read or a photon: their noise is correlated, they are no pair to learn from.

    Parameters
    ----------
    windows
        Pairs (a, b) of reads, from 0, both ends used.
    name
        Where they come from, for the message.
    flux_e, read_noise_e
        A typical flux [e-/px/sub-frame] and the read noise of one read [e- rms], where known.

    Raises
    ------
    InputError
        With the correlation it would cause.
    """
    ordered = sorted(windows)
    for one, other in pairwise(ordered):
        if other[0] > one[1]:
            continue
        dark, bright = noise_correlation(one, other, 0.0, 1.0), noise_correlation(one, other, 1.0, 0.0)
        words = f"{dark:+.2f} in the dark, {bright:+.2f} in bright light"
        if flux_e is not None and read_noise_e is not None:
            here = noise_correlation(one, other, flux_e, read_noise_e)
            words = f"{here:+.2f} at {flux_e:.3g} e-/px/sub-frame and {read_noise_e:.3g} e- read noise; {words}"
        end = min(one[1], other[1])
        shared = f"read {end + 1}" if other[0] == end else f"reads {other[0] + 1} to {end + 1}"
        raise InputError(
            f"{name}: reads {one[0] + 1}-{one[1] + 1} and {other[0] + 1}-{other[1] + 1} share {shared}, so their noise "
            f"is correlated ({words}) and a net trained on such pairs learns the noise; leave 1 or more sub-frames "
            "between them (--guard 1; ndr subtract --spacing guarded)"
        )


def _typical_flux(source: _Source) -> float:
    """Return the median flux [e-/px/sub-frame], at least 0."""
    reads = source.exposure.reads
    rise = reads.plane(source.last - 1).astype(np.float64) - reads.plane(source.first)
    rise = rise[np.isfinite(rise)]
    flux = float(np.median(rise)) * source.gain / (source.last - 1 - source.first) if rise.size else 0.0
    return max(flux, 0.0)


def _level(source: _Source, fit: RampFit, factor: float) -> tuple[float, float]:
    """Return slope and intercept of the variance of a fitted rate that was multiplied with a factor."""
    rate, shot, read = (source.inner(plane) for plane in (fit.rate, fit.variance_poisson, fit.variance_read))
    good = np.isfinite(rate) & (rate > 0) & np.isfinite(shot)
    slope = float(shot[good].sum(dtype=np.float64) / rate[good].sum(dtype=np.float64)) if good.any() else 0.0
    constant = read[np.isfinite(read)]
    return slope * factor, (float(np.median(constant)) if constant.size else 0.0) * factor**2


def _filled(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put the mean of the neighbours in place of pixels that could not be fitted."""
    from scipy import ndimage

    bad = ~np.isfinite(plane)
    if not bad.any() or bad.all():
        return plane
    values = np.where(bad, np.float32(0), plane)
    share = ndimage.uniform_filter((~bad).astype(np.float32), 5, mode="reflect")
    around = ndimage.uniform_filter(values, 5, mode="reflect") / np.maximum(share, 1e-6)
    usual = np.float32(np.median(plane[~bad]))
    return np.where(bad, np.where(share > 0.01, around, usual), plane).astype(np.float32)


def _notes(source: _Source, made: Made) -> list[str]:
    """Say what was measured, how the light changed, and which pixels were full."""
    name = source.exposure.path
    notes = [f"{name}: {note}" for note in (*source.exposure.notes, *source.known.notes)]
    if source.light.degree:
        notes.append(
            f"{name}: the light changes by {100 * source.light.change:+.1f} % during the exposure; each window is "
            "scaled to the mean light"
        )
    if source.border:
        notes.append(f"{name}: the {source.border} px of reference pixels at its border are left out")
    end = max(b for windows in made.windows for _, b in windows)
    reads = source.exposure.reads
    with np.errstate(invalid="ignore"):
        full = int(np.count_nonzero(reads.plane(end) >= source.full_adu))
    if full:
        notes.append(
            f"warning: {name}: {full} pixel{'s are' if full != 1 else ' is'} saturated at read {end + 1}, where "
            "differences are too dark; use earlier reads (--last)"
        )
    return notes
