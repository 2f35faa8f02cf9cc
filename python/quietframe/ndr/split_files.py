"""Split an exposure file into two: independent halves, or stacks of pairs to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, unknown
from ..images import Image, write_image, write_planes
from ..outputs import check_output
from ..progress import Progress, silent
from .calibrate import KnownCamera, complete_camera
from .exposure import Exposure
from .fit import FitTuning, RampFit, fit_ramp, saturation_level
from .light import LightCurve, light_curve
from .pairs import DESIGNS, PairRequest, Pairs, make_pairs, warnings_of
from .reads import check_range
from .results import made_by, meta_of, rate_unit, reads_text
from .split import split_halves
from .subtract import Window, unit_scale

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class SplitFiles:
    """Where the two parts go, and the variances of halves where they are wanted."""

    a: Path
    b: Path
    variance_a: Path | None = None
    variance_b: Path | None = None
    overwrite: bool = False

    def all(self) -> list[Path]:
        """Return every file that will be written."""
        return [path for path in (self.a, self.b, self.variance_a, self.variance_b) if path is not None]


@dataclass(frozen=True)
class SplitRequest:
    """The options of ``ndr split``; reads count from 1, both ends included.

    Parameters
    ----------
    pairs
        None: halves.
    guard
        Sub-frames left out between the halves.
    first, last
        Reads used; None: from the first valid one to the end.
    method
        How the halves, and the targets of ``care``, are made of their reads.
    unit
        ``adu``, ``electrons``, ``rate`` or None.
    as_measured
        Leave each part in the light of its own time.
    """

    pairs: PairRequest | None = None
    guard: int = 1
    first: int | None = None
    last: int | None = None
    method: str = "optimal"
    unit: str | None = None
    as_measured: bool = False


@dataclass(frozen=True)
class _Source:
    """An open exposure with all that both ways need of it; reads ``[first, last)`` from 0."""

    exposure: Exposure
    request: SplitRequest
    known: KnownCamera
    light: LightCurve
    first: int
    last: int
    progress: Progress

    @property
    def camera_keys(self) -> dict[str, str]:
        """Return what the outputs say of the camera; a gain that is only taken as 1 is not among it."""
        return (self.known.camera if self.known.gain_known else self.exposure.camera).to_info()

    def fit(self, first: int, last: int) -> RampFit:
        """Fit the reads ``[first, last)``."""
        return fit_ramp(
            self.exposure.reads,
            self.known.camera,
            method=self.request.method,
            first=first,
            last=last,
            tuning=FitTuning(saturation_adu=self.known.saturation_adu),
            progress=self.progress,
        )

    def notes(self) -> list[str]:
        """Return what was taken for granted, and how the light changed."""
        notes = [*self.exposure.notes, *self.known.notes]
        if self.light.degree:
            done = "left as it is" if self.request.as_measured else "each part is scaled to the mean light"
            notes.append(f"the light changes by {100 * self.light.change:+.1f} % during the exposure: {done}")
        return notes

    def factor(self, window: Window) -> float:
        """Return the factor that brings a part to the mean light."""
        return 1.0 if self.request.as_measured else self.light.factor(window)


def check_files(source: Path, files: SplitFiles) -> None:
    """Check, before long work, that the outputs can be written and are files of their own.

    Raises
    ------
    OptionError, OutputError
    """
    paths = files.all()
    for path in paths:
        check_output(path, overwrite=files.overwrite)
    places = [path.resolve() for path in (source, *paths)]
    if len(set(places)) < len(places):
        raise OptionError(f"the exposure and the outputs must be different files; got {', '.join(map(str, places))}")


def pair_request(
    design: str | None, difference: int | None, *, guard: int, count: int | None, seed: int
) -> PairRequest | None:
    """Return what pairs are asked for; None for halves.

    Raises
    ------
    OptionError
        When the design is unknown, or the options do not go together.
    """
    design = design or ("halves" if difference is None else "n2n")
    if design not in ("halves", *DESIGNS):
        raise unknown("design", design, ("halves", *DESIGNS))
    if design == "halves":
        if difference is not None or count is not None:
            raise OptionError("halves have no --pairs and no --count; leave these out, or choose another --design")
        return None
    if difference is None:
        raise OptionError(f"--design {design} needs --pairs K, the sub-frames of one input, e.g. --pairs 20")
    return PairRequest(difference, design, guard, count, seed)


def split_file(
    exposure: Exposure, request: SplitRequest, files: SplitFiles, *, progress: Progress = silent
) -> dict[str, Any]:
    """Split an exposure as asked for, write the files, and return what ``ndr split`` answers.

    Raises
    ------
    InputError, OptionError
        When there are too few reads, or options are out of range or do not go together.
    """
    first = exposure.first_valid if request.first is None else request.first - 1
    first, last = check_range(len(exposure.reads), first, request.last)
    if request.pairs is None:
        split_halves(len(exposure.reads), first, last, guard=request.guard)
    else:
        if files.variance_a or files.variance_b:
            raise OptionError("--variance-a and --variance-b go with halves, which are fits; pairs have no variance")
        make_pairs(len(exposure.reads), request.pairs, first, last)
    known = complete_camera(exposure.reads, exposure.camera, first=first, last=last)
    level = known.saturation_adu or saturation_level(known.camera, 0.85, exposure.reads.dtype)
    light = light_curve(exposure.reads, first=first, last=last, saturation_adu=level)
    source = _Source(exposure, request, known, light, first, last, progress)
    return _halves(source, files) if request.pairs is None else _pairs(source, request.pairs, files)


def _halves(source: _Source, files: SplitFiles) -> dict[str, Any]:
    """Fit and write both halves, with their variances where wanted."""
    request, camera = source.request, source.known.camera
    unit, factor, text = rate_unit(request.unit, camera, gain_known=source.known.gain_known)
    halves = split_halves(len(source.exposure.reads), source.first, source.last, guard=request.guard)
    notes = source.notes()
    if request.guard == 0:
        notes.append(
            "warning: the halves share a read and its noise; only with a guard of 1 or more are they independent"
        )
    options = {"guard": request.guard, "method": request.method, "unit": unit, "as_measured": request.as_measured}
    medians = []
    with ExitStack() as undo:
        for side, (first, last), path, variance in (
            ("A", halves.a, files.a, files.variance_a),
            ("B", halves.b, files.b, files.variance_b),
        ):
            fit = source.fit(first, last)
            scale = np.float32(factor * source.factor((first, last - 1)))
            medians.append(float(np.nanmedian(fit.rate)) * float(scale))
            keys = {
                **source.camera_keys,
                **made_by("ndr split", options),
                **_light_key(source, (first, last - 1)),
                "ndr.fit": request.method,
                "ndr.part": side,
                "ndr.unit": unit,
                "ndr.reads_used": f"{first + 1}-{last}",
            }
            label = f"half {side}, reads {first + 1}-{last}"
            _write_plane(source, path, fit.rate * scale, label, {**keys, "ndr.unit_text": text}, files.overwrite)
            undo.callback(path.unlink, missing_ok=True)
            if variance is not None:
                keys["ndr.unit_text"] = f"({text})^2"
                _write_plane(source, variance, fit.variance * scale**2, f"variance of {label}", keys, files.overwrite)
                undo.callback(variance.unlink, missing_ok=True)
        undo.pop_all()
    return _report_halves(files, (halves.a, halves.b), medians, {**options, "unit_text": text}, notes)


def _light_key(source: _Source, window: Window) -> dict[str, str]:
    factor = source.factor(window)
    return {} if factor == 1.0 else {"ndr.light_factor": f"{factor:.6g}"}


def _write_plane(
    source: _Source, path: Path, plane: Plane, label: str, keys: Mapping[str, str], overwrite: bool
) -> None:
    meta = meta_of(source.exposure, "YX", [label], keys)
    write_image(path, Image(plane, "YX", meta.pixel_size_um, None, meta.info, meta.labels), overwrite=overwrite)


def _report_halves(
    files: SplitFiles,
    halves: Sequence[tuple[int, int]],
    medians: Sequence[float],
    options: Mapping[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    lines = [
        f"{path}: half {side}, {options['method']} fit of reads {first + 1} to {last}; "
        f"median rate {median:.4g} {options['unit_text']}"
        for side, path, (first, last), median in zip("AB", (files.a, files.b), halves, medians, strict=True)
    ]
    return {
        "out": [str(path) for path in files.all()],
        "design": "halves",
        "reads": [[first + 1, last] for first, last in halves],
        "median_rates": list(medians),
        **options,
        "notes": notes,
        "summary": [*lines, *notes],
    }


def _pairs(source: _Source, wanted: PairRequest, files: SplitFiles) -> dict[str, Any]:
    """Write the stack of inputs and the stack of targets."""
    reads, known = source.exposure.reads, source.known
    pairs = make_pairs(len(reads), wanted, source.first, source.last)
    unit = source.request.unit or "adu"
    if unit != "adu" and not known.gain_known:
        raise OptionError(f"unit {unit} needs the gain, and this ramp does not tell it; give --gain-e-per-adu")
    scale, text = unit_scale(unit, wanted.difference, known.camera)
    warnings = warnings_of(pairs, _typical_flux(source), known.camera.read_noise_e or 0.0)
    options = {
        "design": pairs.design,
        "pairs": wanted.difference,
        "guard": wanted.guard,
        "count": len(pairs),
        "seed": wanted.seed if pairs.design == "n2n" else None,
        "method": source.request.method if pairs.fitted else None,
        "unit": unit,
        "as_measured": source.request.as_measured,
    }
    keys = {**source.camera_keys, **made_by("ndr split", options), "ndr.unit": unit, "ndr.unit_text": text}
    keys |= {"ndr.difference": str(wanted.difference), "ndr.spacing": "pairs", "ndr.guard": str(wanted.guard)}
    if warnings:
        keys["ndr.warning"] = warnings[0]
    targets = _fitted(source, pairs, scale) if pairs.fitted else _differences(source, pairs, pairs.targets, scale)
    with ExitStack() as undo:
        for role, path, windows, planes in (
            ("input", files.a, pairs.inputs, _differences(source, pairs, pairs.inputs, scale)),
            ("target", files.b, pairs.targets, targets),
        ):
            labels = [f"pair {i} {role} reads {a + 1}-{b + 1}" for i, (a, b) in enumerate(windows, 1)]
            mine = {**keys, "ndr.pair": role, "ndr.reads_used": reads_text(windows)}
            write_planes(path, planes, meta_of(source.exposure, "TYX", labels, mine), overwrite=files.overwrite)
            undo.callback(path.unlink, missing_ok=True)
        undo.pop_all()
    return _report_pairs(
        files, pairs, {**options, "unit_text": text}, [*source.notes(), *_full(source, pairs), *warnings]
    )


def _differences(source: _Source, pairs: Pairs, windows: Sequence[Window], scale: float) -> Iterator[Plane]:
    """Make the difference of each window, scaled to k sub-frames in the mean light; two reads in memory."""
    reads = source.exposure.reads
    exact = np.float32 if reads.dtype.itemsize <= 2 or reads.dtype == np.float32 else np.float64
    for done, (a, b) in enumerate(windows, 1):
        factor = scale * pairs.difference / (b - a) * source.factor((a, b))
        with np.errstate(invalid="ignore", over="ignore"):
            plane = (np.subtract(reads.plane(b), reads.plane(a), dtype=exact) * exact(factor)).astype(np.float32)
        plane[~np.isfinite(plane)] = np.nan
        yield plane
        source.progress("splitting", done, len(windows))


def _fitted(source: _Source, pairs: Pairs, scale: float) -> Iterator[Plane]:
    """Fit each side once and give it as the target of every input of the other side."""
    per_electron = scale / (source.known.camera.gain_e_per_adu or 1.0)
    window, plane = None, None
    for target in pairs.targets:
        if target != window:
            factor = per_electron * pairs.difference * source.factor(target)
            window, plane = target, source.fit(target[0], target[1] + 1).rate * np.float32(factor)
        assert plane is not None
        yield plane


def _full(source: _Source, pairs: Pairs) -> list[str]:
    """Count the pixels that are full before the last read of the differences: there they stop rising."""
    end = max(b for _, b in (pairs.inputs if pairs.fitted else (*pairs.inputs, *pairs.targets)))
    camera, reads = source.known.camera, source.exposure.reads
    level = source.known.saturation_adu or saturation_level(camera, 1.0, reads.dtype)
    with np.errstate(invalid="ignore"):
        count = int(np.count_nonzero(reads.plane(end) >= level))
    if not count:
        return []
    return [
        f"warning: {count} pixel{'s are' if count != 1 else ' is'} saturated at read {end + 1}, where differences are "
        "too dark; use earlier reads (--last) or leave these pixels out of the training"
    ]


def _typical_flux(source: _Source) -> float:
    """Return the median flux [e-/px/sub-frame], at least 0."""
    first, last = (source.exposure.reads.plane(i).astype(np.float64) for i in (source.first, source.last - 1))
    gain = source.known.camera.gain_e_per_adu or 1.0
    with np.errstate(invalid="ignore"):
        rise = float(np.nanmedian(last - first)) * gain
    return max(rise / (source.last - 1 - source.first), 0.0) if np.isfinite(rise) else 0.0


def _report_pairs(files: SplitFiles, pairs: Pairs, options: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    what = {
        "n2n": "two differences of disjoint reads with a guard between them",
        "care": "a difference, and the fit of the reads on the other side of the exposure",
        "report": "a difference, and the report's read 100 - read 1 over the same reads",
    }[pairs.design]
    plural = "s" if len(pairs) != 1 else ""
    return {
        "out": [str(files.a), str(files.b)],
        "difference": pairs.difference,
        "inputs": [[a + 1, b + 1] for a, b in pairs.inputs],
        "targets": [[a + 1, b + 1] for a, b in pairs.targets],
        **options,
        "notes": notes,
        "summary": [
            f"{files.a}, {files.b}: {len(pairs)} pair{plural} of {pairs.difference} sub-frames, in "
            f"{options['unit_text']}: {what}",
            *notes,
        ],
    }
