"""Fit an exposure file: camera, units, notes and the files that come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..camera import Camera
from ..errors import InputError, OptionError, unknown
from ..images import Image, write_image
from ..progress import Progress, silent
from . import weights
from .calibrate import KnownCamera, complete_camera
from .exposure import Exposure
from .fit import FLAG_NAMES, JUMP, FitTuning, RampFit
from .fit_extras import FitExtras, prepare_extras, quality_of
from .quality import Masked
from .reads import check_range
from .results import made_by, meta_of, rate_unit

_NO_EXTRAS = FitExtras()


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
    extras
        Corrections and what else is known.
    """

    method: str = "optimal"
    first: int | None = None
    last: int | None = None
    jump_sigma: float = 5.0
    full_well_fraction: float = 0.85
    unit: str | None = None
    extras: FitExtras = _NO_EXTRAS


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
    quality, _ = quality_of(exposure, request.extras)
    good = exposure.reads if quality is None else Masked(exposure.reads, quality).as_reads()
    known = complete_camera(good, exposure.camera, first=first, last=last)
    prepared = prepare_extras(exposure, known, request.extras, (first, last))
    camera = prepared.camera
    unit, factor, text = rate_unit(request.unit, camera, gain_known=known.gain_known)
    tuning = replace(
        tuning,
        saturation_adu=_trusted_level(exposure, known, request.full_well_fraction, first),
        noise_map=prepared.noise_map,
        structure=prepared.structure,
    )
    fit = prepared.fit(exposure, request, tuning, (first, last), progress)
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
        **request.extras.used(),
    }
    notes = (*exposure.notes, *known.notes, *prepared.notes, *_what_looks_wrong(fit))
    known = replace(known, camera=camera)
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


@dataclass(frozen=True)
class FitFiles:
    """Where the results go; None: not written.

    Parameters
    ----------
    rate
        The rate.
    variance
        Total, Poisson part and read-noise part.
    flags, chi2, n_used
        One plane each.
    """

    rate: Path
    variance: Path | None = None
    flags: Path | None = None
    chi2: Path | None = None
    n_used: Path | None = None

    def given(self) -> list[Path]:
        """Return those that are written."""
        return [path for path in (self.rate, self.variance, self.flags, self.chi2, self.n_used) if path is not None]


def _certain(exposure: Exposure, known: KnownCamera) -> Camera:
    """Return the camera without what rests on a gain that nobody knows; a later step would take it for a fact."""
    if known.gain_known:
        return known.camera
    return replace(known.camera, gain_e_per_adu=None, read_noise_e=exposure.camera.read_noise_e)


def write_fit(exposure: Exposure, fitted: FittedExposure, files: FitFiles, *, overwrite: bool = False) -> list[str]:
    """Write the rate and the other planes that are wanted.

    Returns
    -------
    list of str
        The files written.
    """
    fit, factor = fitted.fit, fitted.factor
    first, last = fitted.reads_used
    keys = {
        **_certain(exposure, fitted.known).to_info(),
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

    write(files.rate, fit.rate * np.float32(factor), [f"rate {label}"], "float32", fitted.text)
    if files.variance is not None:
        parts = np.stack([fit.variance, fit.variance_poisson, fit.variance_read]) * np.float32(factor**2)
        names = [f"variance {part} {label}" for part in ("total", "poisson", "read noise")]
        write(files.variance, parts, names, "float32", f"({fitted.text})^2")
    if files.flags is not None:
        meaning = ", ".join(f"{flag} {name}" for flag, name in FLAG_NAMES.items())
        write(files.flags, fit.flags, [f"flags {label}"], "uint8", meaning)
    if files.chi2 is not None:
        write(files.chi2, fit.chi2, [f"chi2 {label}"], "float32", "chi2, n_used - 2 degrees of freedom")
    if files.n_used is not None:
        write(files.n_used, fit.n_used.astype(np.uint16), [f"reads used {label}"], "uint16", "reads")
    return [str(path) for path in files.given()]


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
