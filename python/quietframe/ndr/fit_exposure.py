"""Fit an exposure file: camera, units, notes and the files that come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OptionError, unknown
from ..images import Image, write_image
from ..progress import Progress, silent
from . import weights
from .calibrate import KnownCamera, complete_camera
from .exposure import Exposure
from .fit import FLAG_NAMES, JUMP, FitTuning, RampFit, fit_ramp
from .reads import check_range
from .results import made_by, meta_of, rate_unit


@dataclass(frozen=True)
class FitRequest:
    """The options of ``ndr fit``; reads count from 1, both ends included.

    Parameters
    ----------
    method
        ``optimal``, ``last-first``, ``fowler`` or ``lsq``.
    first, last
        Reads used; None: from the first valid one to the end.
    jump_sigma
        Significance of a jump; 0: no test.
    full_well_fraction
        Part of the full well that is trusted.
    unit
        ``rate``, ``electrons``, ``adu``, or None.
    """

    method: str = "optimal"
    first: int | None = None
    last: int | None = None
    jump_sigma: float = 5.0
    full_well_fraction: float = 0.85
    unit: str | None = None


@dataclass(frozen=True)
class FittedExposure:
    """A fit with its unit and what was taken for granted.

    Parameters
    ----------
    fit
        In e-/px/sub-frame.
    known
        The camera it was made with.
    unit, factor, text
        Unit of the files, factor from e-/px/sub-frame, the unit in words.
    reads_used
        First and last read, from 1.
    options
        The options that were used.
    notes
        Sentences for the user.
    """

    fit: RampFit
    known: KnownCamera
    unit: str
    factor: float
    text: str
    reads_used: tuple[int, int]
    options: Mapping[str, Any]
    notes: tuple[str, ...]


def fit_exposure(exposure: Exposure, request: FitRequest, *, progress: Progress = silent) -> FittedExposure:
    """Fit an exposure; what its camera lacks is measured from the ramp.

    Raises
    ------
    InputError, OptionError
        For options out of range, and when no pixel can be fitted.
    """
    if request.method not in weights.METHODS:
        raise unknown("method", request.method, weights.METHODS)
    first = exposure.first_valid if request.first is None else request.first - 1
    first, last = check_range(len(exposure.reads), first, request.last)
    if not 0.0 < request.full_well_fraction <= 1.0:
        raise OptionError(f"full_well_fraction must be above 0 and at most 1; got {request.full_well_fraction}")
    tuning = FitTuning(jump_sigma=request.jump_sigma or None)
    known = complete_camera(exposure.reads, exposure.camera, first=first, last=last)
    unit, factor, text = rate_unit(request.unit, known.camera, gain_known=known.gain_known)
    tuning = FitTuning(
        tuning.jump_sigma, saturation_adu=_trusted_level(exposure, known, request.full_well_fraction, first)
    )
    fit = fit_ramp(
        exposure.reads,
        known.camera,
        method=request.method,
        first=first,
        last=last,
        full_well_fraction=request.full_well_fraction,
        tuning=tuning,
        progress=progress,
    )
    if not np.isfinite(fit.rate).any():
        counts = ", ".join(f"{name}: {count}" for name, count in fit.flag_counts().items())
        raise InputError(
            f"{exposure.path}: no pixel has two usable reads among reads {first + 1} to {last} ({counts}); use other "
            "reads (--first, --last) or check the full well and black level"
        )
    options = {
        "method": request.method,
        "first": first + 1,
        "last": last,
        "jump_sigma": request.jump_sigma,
        "full_well_fraction": request.full_well_fraction,
        "unit": unit,
    }
    notes = (*exposure.notes, *known.notes, *_what_looks_wrong(fit))
    return FittedExposure(fit, known, unit, factor, text, (first + 1, last), options, notes)


def _trusted_level(exposure: Exposure, known: KnownCamera, fraction: float, first: int) -> float | None:
    """Return the digital number up to which reads are trusted, where saturation was seen in the ramps themselves."""
    if known.saturation_adu is None:
        return None
    black = known.camera.black_adu
    if black is None:  # the start of the dark pixels is the best that is known of an empty well
        black = float(np.nanpercentile(exposure.reads.plane(first), 1.0))
    return black + fraction * (known.saturation_adu - black)


def _what_looks_wrong(fit: RampFit) -> list[str]:
    notes = []
    counts, pixels = fit.flag_counts(), fit.rate.size
    if counts.get("falling", 0) > 0.01 * pixels:
        share = 100 * counts["falling"] / pixels
        notes.append(f"{share:.0f} % of the pixels fall: are the reads in reverse order, or difference images?")
    if counts.get("jump", 0) > 0.02 * pixels:
        share = 100 * counts["jump"] / pixels
        notes.append(
            f"{share:.0f} % of the pixels jump: the light changes during the exposure; where they are so many their "
            "rate is the mean of the whole ramp"
        )
    return notes


def write_fit(
    exposure: Exposure, fitted: FittedExposure, paths: tuple[Path, Path | None, Path | None], *, overwrite: bool = False
) -> list[str]:
    """Write rate, variance (total, Poisson part, read part) and flags.

    Returns
    -------
    list of str
        The files written.
    """
    rate_path, variance_path, flags_path = paths
    fit, factor = fitted.fit, fitted.factor
    first, last = fitted.reads_used
    keys = {
        **fitted.known.camera.to_info(),
        **made_by("ndr fit", fitted.options),
        "ndr.fit": str(fitted.options["method"]),
        "ndr.unit": fitted.unit,
        "ndr.first": str(first),
        "ndr.reads_used": f"{first}-{last}",
    }
    if not fitted.known.gain_known:
        keys["ndr.gain_assumed"] = "true"
    label = f"reads {first}-{last}"

    def write(path: Path, array: np.ndarray[Any, Any], names: list[str], dtype: str, unit: str) -> None:
        meta = meta_of(exposure, "YX" if array.ndim == 2 else "CYX", names, {**keys, "ndr.unit_text": unit})
        image = Image(array, meta.axes, meta.pixel_size_um, None, meta.info, meta.labels)
        write_image(path, image, dtype=dtype, overwrite=overwrite)

    write(rate_path, fit.rate * np.float32(factor), [f"rate {label}"], "float32", fitted.text)
    if variance_path is not None:
        parts = np.stack([fit.variance, fit.variance_poisson, fit.variance_read]) * np.float32(factor**2)
        names = [f"variance {part} {label}" for part in ("total", "poisson", "read noise")]
        write(variance_path, parts, names, "float32", f"({fitted.text})^2")
    if flags_path is not None:
        meaning = ", ".join(f"{flag} {name}" for flag, name in FLAG_NAMES.items())
        write(flags_path, fit.flags, [f"flags {label}"], "uint8", meaning)
    return [str(path) for path in paths if path is not None]


def report(exposure: Exposure, fitted: FittedExposure, written: list[str]) -> dict[str, Any]:
    """Return what ``ndr fit`` answers."""
    fit, factor = fitted.fit, fitted.factor
    good = np.isfinite(fit.rate)
    median = float(np.median(fit.rate[good])) * factor
    sigma = float(np.median(np.sqrt(fit.variance[good]))) * factor
    counts = fit.flag_counts()
    first, last = fitted.reads_used
    flag_text = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
    tested = good & ((fit.flags & JUMP) == 0) & (fit.n_used > 2)
    freedom = float(np.median(fit.n_used[tested]) - 2) if tested.any() else 0.0
    reduced = float(np.median(fit.chi2[tested]) / freedom) if freedom and np.isfinite(fit.chi2[tested]).all() else None
    return {
        "out": written,
        "reads_used": [first, last],
        **fitted.options,
        "unit_text": fitted.text,
        "camera": fitted.known.camera.known(),
        "gain_known": fitted.known.gain_known,
        "median_rate": median,
        "median_sigma": sigma,
        "median_reduced_chi2": reduced,
        "flags": counts,
        "notes": list(fitted.notes),
        "summary": [
            f"{written[0]}: {fitted.options['method']} fit of reads {first} to {last}",
            f"median rate {median:.4g} +- {sigma:.2g} {fitted.text}; flagged pixels: {flag_text}",
            *fitted.notes,
        ],
    }
