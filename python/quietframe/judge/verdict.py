"""Judge all planes that can be judged, and put the numbers together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, QuietframeError
from ..images import ImageReader, require_gray
from ..metrics.repeats import RepeatError
from ..metrics.single import BLOCK, brightest_block, darkest_block, psnr_prime, report_snr
from ..progress import Progress, silent
from .evidence import Evidence, Pair
from .honesty import BOX, Z_LIMIT, Judgement, judge_plane

UNITS = {"adu": "ADU", "electrons": "e-/px", "rate": "e-/px/s"}
"""Info key ``ndr.unit`` -> what is shown; fits in the first two are per sub-frame."""

_CHANCE = math.erfc(Z_LIMIT / math.sqrt(2))


@dataclass(frozen=True)
class Verdict:
    """All that was found out.

    Parameters
    ----------
    evidence
        What was judged by.
    result, noisy
        Error of the denoised and of the noisy planes, mean over the planes judged; None without evidence.
    planes
        Number (from 0) and judgement of each plane.
    shown
        Number of the plane that the pictures show.
    pair
        Its pictures; without evidence the repeat is the noisy picture itself and means nothing.
    single
        Numbers of the noisy and of the denoised plane alone: name -> (noisy, denoised), None where undefined.
    unit
        Unit of the pixel values.
    pixel_size_um
        Micrometres per pixel; None when unknown.
    """

    evidence: Evidence
    result: RepeatError | None
    noisy: RepeatError | None
    planes: tuple[tuple[int, Judgement], ...]
    shown: int
    pair: Pair
    single: dict[str, tuple[float | None, float | None]]
    unit: str
    pixel_size_um: float | None

    @property
    def improvement_db(self) -> float | None:
        """10 log10(error of noisy / error of result); None without evidence or where one is not measured."""
        if self.result is None or self.noisy is None or not (self.result.is_measured and self.noisy.is_measured):
            return None
        return 10 * math.log10(self.noisy.mse / self.result.mse)

    @property
    def improvement_at_least_db(self) -> float | None:
        """The same with the upper limit of the result's error; None where the noisy picture's is not measured."""
        if self.result is None or self.noisy is None or not self.noisy.is_measured or self.result.upper_rms == 0:
            return None
        return 10 * math.log10(self.noisy.mse / self.result.upper_rms**2)

    @property
    def flagged_by_chance(self) -> float:
        """How many pixels Gaussian noise alone would flag, at most."""
        return _CHANCE * sum(judgement.result.n_pixels for _, judgement in self.planes)

    def total(self, name: str) -> int:
        """Return the sum of a count of `Judgement` over the planes judged."""
        return sum(int(getattr(judgement, name)) for _, judgement in self.planes)


def check_pictures(noisy: ImageReader, result: ImageReader) -> None:
    """Refuse what cannot be compared.

    Raises
    ------
    InputError
        For colour pictures, different axes or shapes, planes below 5 x 5 pixels.
    """
    require_gray(noisy, noisy.path, axes_option=False)
    require_gray(result, result.path, axes_option=False)
    if (noisy.axes, noisy.shape) != (result.axes, result.shape):
        raise InputError(
            f"{noisy.path} has axes {noisy.axes}, shape {noisy.shape}; the result {result.path} has axes {result.axes},"
            f" shape {result.shape}; they must be equal"
        )
    if min(noisy.shape[-2:]) < BOX:
        raise InputError(f"pictures of at least {BOX} x {BOX} pixels can be judged; {noisy.path} has {noisy.shape}")


def reach_verdict(
    noisy: ImageReader, result: ImageReader, evidence: Evidence, *, progress: Progress = silent
) -> Verdict:
    """Judge every plane that the evidence allows.

    Parameters
    ----------
    noisy, result
        The two pictures, open, of one shape.
    evidence
        From `quietframe.judge.evidence`.
    progress
        Told after each plane.

    Raises
    ------
    InputError
        When the noisy picture is constant or has no finite pixel, or a pair cannot be judged.
    """
    planes: list[tuple[int, Judgement]] = []
    shown, pair = 0, Pair(noisy.plane(0), result.plane(0), noisy.plane(0))
    _refuse_constant(pair.noisy, noisy.path)
    for done, index in enumerate(evidence.planes, start=1):
        loaded = evidence.load(index) if evidence.load else pair
        if evidence.kind == "repeat":
            _refuse_constant(loaded.repeat, f"plane {index + 1} of the repeat")
        judgement = judge_plane(loaded.noisy, loaded.result, loaded.repeat, variance_repeat=loaded.variance_repeat)
        # The picture that is shown is the one where most was found.
        if not planes or judgement.n_flagged > max(other.n_flagged for _, other in planes):
            shown, pair = index, loaded
        planes.append((index, judgement))
        progress("judging", done, len(evidence.planes))
    return Verdict(
        evidence=evidence,
        result=_mean([judgement.result for _, judgement in planes], mutual=evidence.mutual),
        noisy=_mean([judgement.noisy for _, judgement in planes], mutual=evidence.mutual),
        planes=tuple(planes),
        shown=shown,
        pair=pair,
        single=single_numbers(pair.noisy, pair.result),
        unit=_unit_text(noisy.info),
        pixel_size_um=noisy.pixel_size_um.get("X"),
    )


def single_numbers(noisy: NDArray[Any], result: NDArray[Any]) -> dict[str, tuple[float | None, float | None]]:
    """Measure both pictures in the same two squares: the brightest and the darkest one of the result.

    Parameters
    ----------
    noisy, result
        Planes (Y, X).

    Returns
    -------
    dict
        ``snr``, ``snr_background_subtracted``, ``psnr_prime`` -> (noisy, denoised); None where it is not defined.
    """
    size = min(BLOCK, *np.shape(result))
    names = ("snr", "snr_background_subtracted", "psnr_prime")
    try:
        bright, dark = (
            block.mask(np.shape(result)) for block in (brightest_block(result, size), darkest_block(result, size))
        )
    except QuietframeError:
        return dict.fromkeys(names, (None, None))
    numbers: dict[str, list[float | None]] = {name: [] for name in names}
    for plane in (noisy, result):
        for name in names:
            try:
                if name == "psnr_prime":
                    value: float | None = psnr_prime(plane, dark)
                else:
                    value = report_snr(plane, bright, dark, subtract_background=name != "snr")
            except QuietframeError:
                value = None
            numbers[name].append(value)
    return {name: (pair[0], pair[1]) for name, pair in numbers.items()}


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """Return the numbers as plain values, for ``--json``."""
    numbers: dict[str, Any] = {
        "evidence": verdict.evidence.kind,
        "evidence_text": verdict.evidence.sentence,
        "assumptions": list(verdict.evidence.assumptions),
        "unit": verdict.unit,
        **_error_values("", verdict.result),
        **_error_values("noisy_", verdict.noisy),
        "improvement_db": verdict.improvement_db,
        "improvement_at_least_db": verdict.improvement_at_least_db,
        "flagged_pixels": verdict.total("n_flagged") if verdict.planes else None,
        "flagged_places": verdict.total("n_places") if verdict.planes else None,
        "flagged_by_chance": verdict.flagged_by_chance if verdict.planes else None,
        "left_out_pixels": verdict.total("n_left_out") if verdict.planes else None,
        "single": {name: {"noisy": pair[0], "denoised": pair[1]} for name, pair in verdict.single.items()},
        "frames": [_frame_values(index, judgement) for index, judgement in verdict.planes],
        "warnings": warnings_of(verdict),
    }
    return numbers


def warnings_of(verdict: Verdict) -> list[str]:
    """Return what a reader must know before using the numbers."""
    warnings = []
    changed = [judgement for _, judgement in verdict.planes if judgement.level_changed]
    if changed:
        worst = max(changed, key=lambda judgement: abs(judgement.level_shift))
        warnings.append(
            f"The light level differs between picture and repeat by {worst.level_shift:+.4g} {verdict.unit} "
            "(bleaching, drift, or another unit). This alone changes the mean squared errors by "
            f"{worst.level_shift**2:.3g}, and the two are not equally noisy either: take the errors as rough."
        )
    too_many = [judgement for _, judgement in verdict.planes if judgement.n_contradictions > judgement.n_left_out]
    if too_many:
        warnings.append(
            f"In {len(too_many)} of {len(verdict.planes)} pictures more than 2 % of the pixels differ from the "
            "repeat by over six standard deviations: the sample moved, or the noise is not what is assumed. The errors "
            "are too large."
        )
    left_out = verdict.total("n_left_out")
    if left_out:
        warnings.append(
            f"{left_out} pixels differ between picture and repeat by over six standard deviations (cosmic hits, "
            "blinking, motion); they were left out."
        )
    if any(judgement.variance_given and not judgement.variance_credible for _, judgement in verdict.planes):
        warnings.append(
            "The variance that the ramp gives exceeds the whole scatter between picture and repeat: gain or read noise "
            "are wrong, and the errors come out too small."
        )
    return warnings


def _mean(errors: Sequence[RepeatError], *, mutual: bool) -> RepeatError | None:
    """Average over planes; planes that judge each other hold half as many independent numbers."""
    if not errors:
        return None
    count = len(errors)
    independent = max(1.0, count / 2) if mutual else float(count)
    square = sum(error.standard_error**2 for error in errors) / count
    return RepeatError(
        mse=sum(error.mse for error in errors) / count,
        standard_error=math.sqrt(square / independent),
        n_pixels=sum(error.n_pixels for error in errors),
    )


def _error_values(prefix: str, error: RepeatError | None) -> dict[str, float | int | None]:
    if error is None:
        return {f"{prefix}{name}": None for name in ("mse", "mse_standard_error", "rms", "rms_upper")}
    values = {
        "mse": error.mse,
        "mse_standard_error": error.standard_error,
        "rms": error.rms,
        "rms_upper": error.upper_rms,
    }
    return {f"{prefix}{name}": value for name, value in values.items()}


def _frame_values(index: int, judgement: Judgement) -> dict[str, Any]:
    return {
        "frame": index + 1,
        **_error_values("", judgement.result),
        **_error_values("noisy_", judgement.noisy),
        "improvement_db": judgement.improvement_db,
        "flagged_pixels": judgement.n_flagged,
        "flagged_places": judgement.n_places,
        "left_out_pixels": judgement.n_left_out,
        "level_shift": judgement.level_shift,
        "level_shift_error": judgement.level_shift_error,
        "repeat_variance": judgement.variance_repeat,
        "repeat_variance_from": "ramp" if judgement.variance_given else "difference of the two",
        "pixels": judgement.result.n_pixels,
    }


def _unit_text(info: Mapping[str, str]) -> str:
    unit = info.get("ndr.unit", "")
    text = UNITS.get(unit, "grey levels")
    return f"{text}/sub-frame" if "ndr.fit" in info and unit in {"adu", "electrons"} else text


def _refuse_constant(plane: NDArray[Any], path: object) -> None:
    finite = np.asarray(plane)[np.isfinite(plane)]
    if finite.size == 0:
        raise InputError(f"{path} has no finite pixel; there is nothing to judge")
    if finite.min() == finite.max():
        raise InputError(f"{path} is constant ({finite.flat[0]:g}); there is nothing to judge")
