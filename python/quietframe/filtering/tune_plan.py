"""What filters are tuned on: the plane or the halves of an exposure, the part of it, the judge, the stabiliser."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import InputError, OptionError
from ..images import Image
from ..ndr.calibrate import complete_camera
from ..ndr.exposure import Exposure
from ..ndr.fit import FitTuning, fit_ramp
from ..ndr.reads import check_range
from ..ndr.split import split_halves
from ..ndr.subtract import difference_windows
from ..noise_models.poisson_gaussian import NoiseLine, estimate_line
from .run import fill_missing, plain_pixels
from .stabilise import LineStabiliser, make_stabiliser
from .tune import depends_on_signal, liveliest
from .tune_judges import HalvesJudge, HiddenJudge, Judge, SteinJudge, correlation_radius


@dataclass(frozen=True)
class TuneRequest:
    """How filters are tuned.

    Parameters
    ----------
    crop
        Side of the part that they are tried on [px].
    stabilise
        ``auto``: where the noise grows with brightness, by the noise estimated from the picture; ``no``; ``image`` or
        ``camera``: always, with parameters from there.
    judge
        ``stein``, ``hidden``, or ``auto``: Stein's formula where the noise can be estimated, else hidden pixels.
    camera
        What is known of the camera.
    seed
        Of the noise that Stein's formula adds.
    """

    crop: int = 256
    stabilise: Literal["auto", "no", "image", "camera"] = "auto"
    judge: Literal["auto", "stein", "hidden"] = "auto"
    camera: Camera = field(default_factory=Camera)
    seed: int = 0


@dataclass(frozen=True)
class TunePlan:
    """All that `quietframe.filtering.tune.tune` needs, with sentences for the user.

    Parameters
    ----------
    plane
        The part (Y, X) that candidates are tried on, float32, finite.
    place
        Its rows and columns.
    judge
        Tells the error; `judged` says how.
    stabiliser
        For filters that assume noise of one sigma; None where nothing is to be stabilised.
    """

    plane: NDArray[np.float32]
    place: tuple[slice, slice]
    judge: Judge
    judged: str
    stabiliser: LineStabiliser | None
    notes: tuple[str, ...]


def plane_of(image: Image, number: int | None) -> tuple[NDArray[Any], int, int]:
    """Return a plane of an image by its number from 1 (None: the middle one), that number, and how many there are."""
    planes = image.array.reshape(-1, *image.array.shape[-2:])
    chosen = (len(planes) + 1) // 2 if number is None else number
    if not 1 <= chosen <= len(planes):
        raise OptionError(f"--plane counts from 1 to {len(planes)} here; got {chosen}")
    return planes[chosen - 1], chosen, len(planes)


def plan_picture(picture: NDArray[Any], request: TuneRequest) -> TunePlan:
    """Prepare the choice on a single plane.

    Parameters
    ----------
    picture
        Noisy plane (Y, X).

    Raises
    ------
    InputError
        When no pixel is finite, or the noise is not known where it must be.
    OptionError
        For a part that is too small.
    """
    plane, notes = _finite(picture)
    place = liveliest(plane, request.crop)
    part = np.ascontiguousarray(plane[place])
    line, reason = _noise(plane)
    stabiliser, more = _stabiliser(plane, line, request)
    notes += more
    if request.stabilise == "camera" and stabiliser is not None and line is not None:
        line = replace(stabiliser.line, floor=line.floor, correlation=line.correlation, notes=())
    radius = correlation_radius(line.correlation) if line is not None else 0
    if radius and line is not None and line.correlation is not None:
        notes.append(
            f"the noise of neighbouring pixels is correlated ({max(line.correlation.x, line.correlation.y):.2f} one "
            f"pixel apart, up to {radius} px): filters that assume white noise do less here than elsewhere"
        )
    if line is None and request.judge == "stein":
        raise InputError(f"Stein's formula needs the noise of the picture: {reason}")
    if line is None or request.judge == "hidden":
        judge: Judge = HiddenJudge(part, radius, _mean_variance(part, line))
        hidden = f" with {radius} px around each" if radius else ""
        said = f"pixels{hidden} hidden from the filter; what is used later does see them"
        if line is None:
            notes.append(f"the noise is not known: {reason}")
        return TunePlan(part, place, judge, said, stabiliser, tuple(notes))
    said = f"Stein's formula, {line.text} from {line.source}" + (", correlated noise" if radius else "")
    return TunePlan(part, place, SteinJudge(part, line, request.seed), said, stabiliser, tuple(notes))


def plan_exposure(exposure: Exposure, difference: int | None, request: TuneRequest) -> TunePlan:
    """Prepare the choice on two guarded halves of an exposure, or two differences that share no read.

    Parameters
    ----------
    exposure
        Reads of one exposure.
    difference
        K: the first two guarded differences of K sub-frames; None: the fits of the two halves.

    Raises
    ------
    InputError, OptionError
        When there are too few reads, or the pixels are of no use.
    """
    first, last = check_range(len(exposure.reads), exposure.first_valid, None)
    if difference is None:
        halves = split_halves(len(exposure.reads), first, last, guard=1)
        known = complete_camera(exposure.reads, exposure.camera, first=first, last=last)
        tuning = FitTuning(saturation_adu=known.saturation_adu)
        fits = [fit_ramp(exposure.reads, known.camera, first=a, last=b, tuning=tuning) for a, b in (halves.a, halves.b)]
        planes = [fit.rate for fit in fits]
        said = f"the fit of reads {halves.b[0] + 1}-{halves.b[1]} against that of {halves.a[0] + 1}-{halves.a[1]}"
    else:
        windows = difference_windows(last, difference, first, "guarded")
        if len(windows) < 2:
            raise OptionError(
                f"two differences of {difference} sub-frames that share no read need {2 * difference + 2} reads; got "
                f"{last - first}; take a smaller difference"
            )
        pair = [[np.asarray(exposure.reads.plane(i), np.float64) for i in window] for window in windows[:2]]
        planes = [(b - a).astype(np.float32) for a, b in pair]
        (a, b), (c, d) = windows[:2]
        said = f"read {d + 1} - read {c + 1} against read {b + 1} - read {a + 1}"
    half, notes = _finite(planes[0])
    other, _ = _finite(planes[1])
    place = liveliest((half + other) / 2, request.crop)
    line, _ = _noise(half)
    stabiliser, more = _stabiliser(half, line, request)
    part = np.ascontiguousarray(half[place])
    more.append("the settings suit what is as noisy as one of these; what is less noisy needs less smoothing")
    judge = HalvesJudge(part, other[place])
    return TunePlan(part, place, judge, said, stabiliser, (*exposure.notes, *notes, *more))


def _finite(picture: NDArray[Any]) -> tuple[NDArray[np.float32], list[str]]:
    pixels = plain_pixels(picture).astype(np.float32)
    missing = int(pixels.size - np.count_nonzero(np.isfinite(pixels)))
    if missing == pixels.size:
        raise InputError(f"none of the {pixels.size} pixels is finite: there is nothing to tune on")
    notes = [f"{missing} of {pixels.size} pixels are NaN or infinite: filled by their neighbours"] if missing else []
    return fill_missing(pixels), notes


def _noise(plane: NDArray[np.float32]) -> tuple[NoiseLine | None, str]:
    try:
        return estimate_line(plane), ""
    except InputError as error:
        return None, str(error)


def _mean_variance(plane: NDArray[Any], line: NoiseLine | None) -> float:
    return 0.0 if line is None else float(line.variance(plane).mean())


def _stabiliser(
    plane: NDArray[np.float32], line: NoiseLine | None, request: TuneRequest
) -> tuple[LineStabiliser | None, list[str]]:
    """Return the stabiliser that is asked for, and what to say of it."""
    if request.stabilise == "no" or (request.stabilise == "auto" and line is None):
        return None, []
    if request.stabilise == "auto" and line is not None:
        if not depends_on_signal(line, plane):
            return None, [f"the noise hardly depends on brightness ({line.text}): nothing is stabilised"]
        found = LineStabiliser(line)
    else:
        found = make_stabiliser(request.stabilise, request.camera, plane)
    return found, [f"filters that assume noise of one sigma are tried with a stabilised variance; {found.note}"]
