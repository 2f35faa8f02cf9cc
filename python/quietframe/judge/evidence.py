"""Find what a denoised picture can be judged by: a repeat whose noise is independent of the picture's.

In this order: a second exposure that was given; another difference image of the same stack that shares no read with
this one; the reads of the exposure that the picture did not use; and, when it used all, the two halves of the exposure
with the model run anew on the first. Two parts of one ramp that share no read are independent: the photons between the
last read of one and the first of the other (the guard sub-frame) belong to neither.

Reads count from 0 here, from 1 in files (``ndr.reads_used = 2-22,23-43``, one range per plane).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import PREFIX, Camera
from ..errors import InputError
from ..images import ImageReader, open_image, require_gray

Window = tuple[int, int]
"""First and last read of a picture, both used, from 0."""

STATIC = "The sample is taken not to move, bleach or blink between the two; what does counts as error."
MOST_PLANES = 32
"""Planes judged in a long stack, evenly spread."""


@dataclass(frozen=True)
class Pair:
    """One plane and its independent repeat, planes (Y, X) of one unit; float64 but for what files hold.

    Parameters
    ----------
    noisy, result, repeat
        What was denoised, its denoised version, the repeat.
    variance_repeat
        Noise variance of the repeat where the ramp gives it, unit squared.
    """

    noisy: NDArray[Any]
    result: NDArray[Any]
    repeat: NDArray[Any]
    variance_repeat: NDArray[Any] | None = None


@dataclass(frozen=True)
class Evidence:
    """What there is to judge by.

    Parameters
    ----------
    kind
        ``repeat``, ``frames``, ``exposure``, ``model halves`` or ``none``.
    sentence
        What it is; for ``none`` why there is none.
    assumptions
        What has to hold for the numbers to be right.
    planes
        Numbers of the planes that can be judged, from 0.
    load
        Gives the pair of a plane.
    mutual
        Whether planes judge each other, so that their errors are not all independent.
    """

    kind: str
    sentence: str
    assumptions: tuple[str, ...] = ()
    planes: tuple[int, ...] = ()
    load: Callable[[int], Pair] | None = None
    mutual: bool = False


@dataclass(frozen=True)
class Given:
    """What the user has beside the two pictures; None where there is nothing."""

    repeat: Path | None = None
    exposure: Path | None = None
    model: Path | None = None


def find_evidence(noisy: ImageReader, result: ImageReader, given: Given, files: ExitStack) -> Evidence:
    """Find the best evidence there is.

    Parameters
    ----------
    noisy, result
        What was denoised and its denoised version, open, of one shape.
    given
        Files of the user.
    files
        Closes what is opened here.

    Raises
    ------
    InputError
        When a given file cannot be read or does not belong to the picture.
    """
    _check_given(given)
    if given.repeat is not None:
        return _from_repeat(noisy, result, given.repeat, files)
    windows = reads_used(noisy.info, noisy.n_planes, noisy.path)
    if noisy.n_planes > 1 and windows is not None:
        frames = _from_frames(noisy, result, windows)
        if frames is not None:
            return frames
    if given.exposure is not None:
        return _from_exposure(noisy, result, windows, given, files)
    if windows is None:
        reason = "the file does not say which reads of an exposure it was made of"
    else:
        reason = "no other picture in it is free of shared reads, and its exposure was not given (--exposure)"
    return Evidence(
        "none",
        f"There is no independent repeat of {noisy.path.name}: no second exposure was given (--repeat), and {reason}.",
    )


def _check_given(given: Given) -> None:
    """Refuse a file that cannot be read, also where better evidence makes it needless: the page names it."""
    if given.exposure is not None:
        open_image(given.exposure).close()
    if given.model is not None:
        from ..inference.package import read_package

        read_package(given.model)


def reads_used(info: Mapping[str, str], n_planes: int, name: object) -> list[Window] | None:
    """Read ``ndr.reads_used`` of a file: one window per plane, from 0; None when the file has no such key.

    Raises
    ------
    InputError
        When the key is no list of ranges, or not one per plane.
    """
    text = info.get("ndr.reads_used")
    if text is None:
        return None
    windows = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
            raise InputError(f"{name}: ndr.reads_used holds {part.strip()!r}, which is no range of reads such as 2-22")
        windows.append((int(first) - 1, int(last) - 1))
    if len(windows) != n_planes:
        raise InputError(f"{name}: ndr.reads_used names {len(windows)} ranges of reads for {n_planes} planes")
    return windows


def independent_partner(windows: list[Window], index: int) -> int | None:
    """Return the nearest other plane that shares no read with plane `index`; the later one of two equally near."""
    first, last = windows[index]
    others = [other for other, (start, stop) in enumerate(windows) if start > last or stop < first]
    return min(others, key=lambda other: (abs(other - index), -other), default=None)


def unused_reads(window: Window, n_reads: int, first: int = 0) -> tuple[int, int] | None:
    """Return the longer run of reads before or after a window as ``[start, stop)``; None when both are below two."""
    before, after = (first, window[0]), (window[1] + 1, n_reads)
    start, stop = max(after, before, key=lambda run: run[1] - run[0])
    return (start, stop) if stop - start >= 2 else None


def spread(numbers: list[int], most: int = MOST_PLANES) -> tuple[int, ...]:
    """Return at most `most` of the numbers, evenly spread, first and last among them."""
    if len(numbers) <= most:
        return tuple(numbers)
    places = np.linspace(0, len(numbers) - 1, most).round().astype(int)
    return tuple(numbers[place] for place in places)


def _from_repeat(noisy: ImageReader, result: ImageReader, path: Path, files: ExitStack) -> Evidence:
    repeat = files.enter_context(open_image(path))
    require_gray(repeat, path, axes_option=False)
    if (repeat.axes, repeat.shape) != (noisy.axes, noisy.shape):
        raise InputError(
            f"the repeat {path} has axes {repeat.axes}, shape {repeat.shape}; {noisy.path} has axes {noisy.axes}, "
            f"shape {noisy.shape}; a repeat is the same picture taken again"
        )
    return Evidence(
        "repeat",
        f"A second exposure, {path.name}, shows the same scene with noise of its own.",
        (STATIC, "Both exposures are taken to be equally noisy, since nothing states the variance of the second."),
        spread(list(range(noisy.n_planes))),
        lambda index: Pair(noisy.plane(index), result.plane(index), repeat.plane(index)),
    )


def _from_frames(noisy: ImageReader, result: ImageReader, windows: list[Window]) -> Evidence | None:
    partners = {index: independent_partner(windows, index) for index in range(len(windows))}
    judged = [index for index, partner in partners.items() if partner is not None]
    if not judged:
        return None

    def load(index: int) -> Pair:
        return Pair(noisy.plane(index), result.plane(index), noisy.plane(partners[index] or 0))

    return Evidence(
        "frames",
        f"Each of {len(judged)} difference images is compared with the nearest one of the same exposure that shares "
        "no read with it; a guard sub-frame lies between the two, so their noise is independent.",
        (STATIC, "Neighbouring differences are taken to be equally noisy."),
        spread(judged),
        load,
        mutual=True,
    )


def _from_exposure(
    noisy: ImageReader, result: ImageReader, windows: list[Window] | None, given: Given, files: ExitStack
) -> Evidence:
    ramp = _Ramp.open(noisy, given.exposure or Path(), files)
    if windows is None:
        raise InputError(
            f"{noisy.path} does not say which reads of the exposure it was made of (Info key ndr.reads_used), so none "
            "can be known to be independent; make it with `quietframe ndr subtract` or `ndr fit`, or give --repeat"
        )
    if max(stop for _, stop in windows) >= ramp.n_reads:
        raise InputError(
            f"{noisy.path} was made of reads up to {max(stop for _, stop in windows) + 1}, but {given.exposure} has "
            f"{ramp.n_reads}; give the exposure it was made of"
        )
    runs = {index: unused_reads(window, ramp.n_reads, ramp.first) for index, window in enumerate(windows)}
    judged = [index for index, run in runs.items() if run is not None]
    if not judged:
        return _from_halves(ramp, given.model)

    def load(index: int) -> Pair:
        start, stop = runs[index] or (0, 0)
        repeat, variance = ramp.fit(start, stop)
        return Pair(noisy.plane(index), result.plane(index), repeat, variance)

    start, stop = runs[judged[0]] or (0, 0)
    return Evidence(
        "exposure",
        f"The optimal fit of reads {start + 1} to {stop} of {ramp.path.name}, which the picture did not use, is an "
        "independent repeat; its variance comes from the ramp.",
        (STATIC, *ramp.notes),
        spread(judged),
        load,
    )


def _from_halves(ramp: _Ramp, model: Path | None) -> Evidence:
    """Denoise the fit of the first half anew: the picture itself used every read."""
    all_used = f"The picture was made of all usable reads of {ramp.path.name}, so no part of it is independent"
    middle = ramp.first + (ramp.n_reads - ramp.first) // 2
    if middle - ramp.first < 2:
        return Evidence("none", f"{all_used}, and its {ramp.n_reads} reads are too few to be divided.")
    if model is None:
        return Evidence(
            "none",
            f"{all_used}. With the model package (--model) the same model can be judged on the two halves of the "
            "exposure; or give a second exposure (--repeat).",
        )

    def load(index: int) -> Pair:
        from ..inference.large import denoise_plane
        from ..inference.package import read_package
        from ..inference.runner import Runner

        noisy, _ = ramp.fit(ramp.first, middle)
        repeat, variance = ramp.fit(middle, ramp.n_reads)
        return Pair(noisy, denoise_plane(noisy, Runner(read_package(model))), repeat, variance)

    return Evidence(
        "model halves",
        f"{all_used}. Instead {model.name} denoised the fit of reads {ramp.first + 1} to {middle}, and the fit of "
        f"reads {middle + 1} to {ramp.n_reads} judges that.",
        (
            "The numbers hold for the model at half the exposure, where the input is noisier; they are not the error "
            "of the result file.",
            STATIC,
            *ramp.notes,
        ),
        (0,),
        load,
    )


@dataclass(frozen=True)
class _Ramp:
    """The exposure a picture was made of, and the factor from e-/px/sub-frame to the picture's unit."""

    path: Path
    reads: Any
    camera: Camera
    first: int
    scale: float
    saturation_adu: float | None
    notes: tuple[str, ...]

    @property
    def n_reads(self) -> int:
        return len(self.reads)

    @classmethod
    def open(cls, noisy: ImageReader, path: Path, files: ExitStack) -> _Ramp:
        from ..ndr.calibrate import complete_camera
        from ..ndr.exposure import open_exposure

        stated = Camera.from_mapping(noisy.info, source=str(noisy.path), prefix=PREFIX)
        exposure = files.enter_context(open_exposure(path, camera=stated))
        if exposure.reads.shape[1:] != noisy.shape[-2:]:
            raise InputError(
                f"the exposure {path} has frames of {exposure.reads.shape[1:]} pixels, {noisy.path} of "
                f"{noisy.shape[-2:]}; give the exposure it was made of"
            )
        known = complete_camera(exposure.reads, exposure.camera, first=exposure.first_valid)
        scale = unit_per_electron_rate(noisy.info, known.camera, noisy.path)
        return cls(
            path=Path(path),
            reads=exposure.reads,
            camera=known.camera,
            first=exposure.first_valid,
            scale=scale,
            saturation_adu=known.saturation_adu,
            notes=known.notes,
        )

    def fit(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Fit reads ``[start, stop)``; return rate and variance in the picture's unit."""
        from ..ndr.fit import FitTuning, fit_ramp

        tuning = FitTuning(saturation_adu=self.saturation_adu)
        fitted = fit_ramp(self.reads, self.camera, first=start, last=stop, tuning=tuning)
        scale = np.float32(self.scale)
        return fitted.rate * scale, fitted.variance * scale**2


def unit_per_electron_rate(info: Mapping[str, str], camera: Camera, name: object) -> float:
    """Return the factor from e-/px/sub-frame to the unit of a picture made by ``ndr subtract`` or ``ndr fit``.

    Parameters
    ----------
    info
        The picture's Info: ``ndr.unit`` (adu, electrons, rate), ``ndr.difference`` for a difference image.
    camera
        With the gain, and for rates the time per sub-frame.
    name
        The picture's file, for the error message.

    Raises
    ------
    InputError
        When the unit is not stated or not known, or cannot be reached with what is known of the camera.
    """
    unit = info.get("ndr.unit", "")
    sub_frames = float(info.get("ndr.difference", 1))
    if unit == "adu" and camera.gain_e_per_adu is not None:
        return sub_frames / camera.gain_e_per_adu
    if unit == "electrons":
        return sub_frames
    if unit == "rate" and camera.t_subframe_s is not None:
        return 1.0 / camera.t_subframe_s
    raise InputError(
        f"{name}: the unit {unit!r} (Info key ndr.unit) cannot be made from the exposure; allowed: adu, electrons, and "
        "rate when the time per sub-frame is known"
    )
